"""Where planets are in the frame."""

from __future__ import annotations

import numpy as np


def planet_offset(
    separation: float, position_angle_deg: float, frame_angle_deg: float
) -> tuple[float, float]:
    """Return the offset (x, y) of a planet from its star, in the unit of `separation`.

    Parameters
    ----------
    separation
        On the sky.
    position_angle_deg
        Of the planet, from north through east.
    frame_angle_deg
        Position angle of the frame's +y axis; with 0, north is up and east to the left.
    """
    angle = np.radians(position_angle_deg - frame_angle_deg)
    return float(-separation * np.sin(angle)), float(separation * np.cos(angle))
