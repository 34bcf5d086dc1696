"""Tensor operations without parameters: tiling, detection, filling, guided filter, exposure, grain, hints."""
