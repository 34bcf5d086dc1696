"""Synthetic damage and ageing for training, and undamaged content that looks like damage."""
