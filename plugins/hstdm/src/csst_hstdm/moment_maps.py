"""`MomentMaps`: integrated intensity, mean velocity and line width of a line on the sky."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import astropy.units as u
import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from csstcore.api import Meta

MOMENT_FLAG_BITS: Final[dict[str, int]] = {"no_data": 1, "border": 2, "no_line": 4}


@dataclass(slots=True, eq=False)
class MomentMaps:
    """Moments of a line in each pixel, shape (y, x); NaN where there is nothing."""

    moment_0: u.Quantity
    """Integral, K km/s."""
    moment_0_error: u.Quantity
    moment_1: u.Quantity
    """Mean velocity, km/s; only where the line is significant."""
    moment_1_error: u.Quantity
    moment_2: u.Quantity
    """Standard deviation of the velocities, km/s."""
    moment_2_error: u.Quantity
    flags: NDArray[np.uint16]
    wcs: WCS | None = None
    line: str = ""
    """Name of the line."""
    rest_frequency_hz: float = 0.0
    lowest_km_s: float = 0.0
    """Of the channels that were added."""
    highest_km_s: float = 0.0
    meta: Meta = field(default_factory=Meta)
    flag_bits: Mapping[str, int] = field(default_factory=lambda: dict(MOMENT_FLAG_BITS))
