"""Parameter-free: tiling, detection (dilation), filling, coloring, guided filter, exposure, grain, hints."""
