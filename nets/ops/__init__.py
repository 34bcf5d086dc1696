"""Operations without parameters: tiling, detection, filling, coloring, guided, exposure, grain, hints."""
