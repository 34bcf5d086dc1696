"""Operations on tensors without parameters: tiling, guided filter, exposure, grain, color hints."""
