"""OpenCV's inpainting methods, for comparison: Telea 2004, and Navier-Stokes (Bertalmio et al. 2001)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RADIUS = 3  # px around a hole that the methods look at; the value of OpenCV's own examples


def opencv(method: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """paint(pixels, holes): luma (H, W) or RGB (H, W, 3) float32 in [0, 1], inpainted where `holes` (H, W)
    uint8 is not 0, in steps of 1 / 255. None without OpenCV. method: "TELEA" or "NS"."""
    try:
        import cv2
    except ImportError:
        return None
    flag = getattr(cv2, f"INPAINT_{method}")

    def paint(pixels: np.ndarray, holes: np.ndarray) -> np.ndarray:
        pixels = np.round(pixels * 255).astype(np.uint8)
        return cv2.inpaint(pixels, holes, RADIUS, flag).astype(np.float32) / 255

    return paint
