"""Where a place on the sky falls in a frame of a given position angle.

Offsets are in pixels from the star. A frame of position angle ``theta`` has its +y axis at
``theta`` from North through East, and East to the left of North; a derotated image is a frame
of position angle 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]


def to_offsets(
    separation_pixel: ArrayLike, position_angle_deg: ArrayLike, frame_angle_deg: ArrayLike = 0.0
) -> tuple[Float, Float]:
    """Return the offsets (dx, dy) in pixels of a source at a separation and position angle."""
    angle = np.radians(np.subtract(position_angle_deg, frame_angle_deg))
    radius = np.asarray(separation_pixel, np.float64)
    return -radius * np.sin(angle), radius * np.cos(angle)


def to_polar(dx: ArrayLike, dy: ArrayLike) -> tuple[Float, Float]:
    """Return separation in pixels and position angle in [0, 360) deg of a derotated offset."""
    angle = np.degrees(np.arctan2(np.negative(dx), dy)) % 360.0
    return np.hypot(dx, dy), np.asarray(angle, np.float64)


def central_pixel(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (row, column), from 0, of the pixel on which stars are registered."""
    return shape[-2] // 2, shape[-1] // 2
