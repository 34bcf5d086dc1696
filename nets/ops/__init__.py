"""Tensor operations without parameters: tiling, guided filter, exposure, grain, color hints."""
