"""Tools: tiling, windows, precision, detection, filling, coloring, guided filter, exposure, grain, hints."""
