"""Synthetic ageing and damage of photographs, and undamaged content that looks like damage."""
