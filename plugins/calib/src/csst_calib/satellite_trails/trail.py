"""`Trail`: a line across a frame, slightly curved, with ends and a width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """A curve ``(x0, y0) + t (ux, uy) + (c0 + c1 t + c2 t^2) (-uy, ux)``, 0-based pixels."""

    x: float
    y: float
    ux: float
    uy: float
    half_length: float
    """t runs from minus to plus this, about the middle of the chord through the frame."""
    bend: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """c0, c1, c2 with t in units of `half_length`, so that all are in pixels."""

    def points(self, t: Floats) -> tuple[Floats, Floats]:
        """Return x and y of the middle of the trail at places `t`."""
        s = t / self.half_length
        offset = self.bend[0] + self.bend[1] * s + self.bend[2] * s * s
        return self.x + self.ux * t - self.uy * offset, self.y + self.uy * t + self.ux * offset


@dataclass(frozen=True)
class Trail:
    """A trail as it is masked."""

    path: Path
    start: float
    end: float
    """Places along the path."""
    half_width: float
    """Pixels either side of the middle."""
    signal_to_noise: float
    """Of the sum of all light of the trail."""


def chord(
    start: tuple[float, float], end: tuple[float, float], shape: tuple[int, int]
) -> Path | None:
    """Return the part of the line through two points that lies in a frame; None if none does."""
    (x0, y0), (x1, y1) = start, end
    length = float(np.hypot(x1 - x0, y1 - y0))
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    low, high = -np.inf, np.inf
    for place, step, last in ((x0, ux, shape[1] - 1.0), (y0, uy, shape[0] - 1.0)):
        if abs(step) < 1e-9:
            if not 0 <= place <= last:
                return None
            continue
        ends = sorted((-place / step, (last - place) / step))
        low, high = max(low, ends[0]), min(high, ends[1])
    if high - low < 2:
        return None
    middle = 0.5 * (low + high)
    return Path(x0 + middle * ux, y0 + middle * uy, ux, uy, 0.5 * (high - low))
