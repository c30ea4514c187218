"""Width of the image of a star."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates


def fwhm(star: NDArray[np.floating[Any]]) -> float:
    """Return the full width at half maximum, in pixels, of a star on the central pixel.

    From the mean over circles of a cubic spline through the pixels.
    """
    half = star.shape[0] // 2
    radius = np.arange(0.0, half, 0.05)
    angle = np.arange(0.0, 2 * np.pi, np.pi / 32)[:, np.newaxis]
    places = [half + radius * np.sin(angle), half + radius * np.cos(angle)]
    profile = map_coordinates(star.astype(np.float64), places, order=3, mode="nearest").mean(axis=0)
    below = np.flatnonzero(profile < profile[0] / 2)
    if not len(below) or not profile[0] > 0:
        return float("nan")
    k = int(below[0])
    part = (profile[k - 1] - profile[0] / 2) / (profile[k - 1] - profile[k])
    return float(2 * (radius[k - 1] + part * 0.05))
