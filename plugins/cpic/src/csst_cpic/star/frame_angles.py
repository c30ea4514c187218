"""Position angles of the planes of a cube, from the table of its frames."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csstcore.api import Cube, Table, UnprocessableData


def frame_angles_deg(cube: Cube, frames: Table) -> NDArray[np.float64]:
    """Return the position angle of +y of each plane, in degrees.

    Raises
    ------
    UnprocessableData
        If there is not one finite angle for each plane.
    """
    if len(frames.table) != len(cube.data):
        raise UnprocessableData(
            f"the cube has {len(cube.data)} planes, its table of frames {len(frames.table)} rows"
        )
    angles = np.asarray(frames.table["position_angle"].to_value(u.deg), np.float64)
    if not np.isfinite(angles).all():
        lost = int(np.flatnonzero(~np.isfinite(angles))[0])
        raise UnprocessableData(f"plane {lost} of the cube has no position angle")
    return angles
