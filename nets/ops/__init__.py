"""Ops: tiling, windows, precision, detection, filling, coloring, guided smoothing, exposure, grain, hints."""
