"""Parameter-free: tiling, windows, detection, filling, coloring, guided filter, exposure, grain, hints."""
