"""Flags along a trail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_calib.satellite_trails.trail import Trail
from csstcore.api import compiled


def flag_trail(flags: NDArray[np.uint16], trail: Trail, bit: np.uint16) -> None:
    """Set `bit` within the trail's half width from its middle, in place."""
    t = np.arange(trail.start, trail.end + 0.5, 0.5)
    x, y = trail.path.points(t)
    _flag(flags, x, y, trail.path.ux, trail.path.uy, trail.half_width, bit)


@compiled
def _flag(
    flags: NDArray[np.uint16],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    ux: float,
    uy: float,
    half_width: float,
    bit: np.uint16,
) -> None:
    rows, columns = flags.shape
    steps = int(np.ceil(2 * half_width))
    for place in range(len(x)):
        for step in range(-steps, steps + 1):
            offset = step * half_width / max(steps, 1)
            column = int(np.floor(x[place] - uy * offset + 0.5))
            row = int(np.floor(y[place] + ux * offset + 0.5))
            if 0 <= row < rows and 0 <= column < columns:
                flags[row, column] |= bit
