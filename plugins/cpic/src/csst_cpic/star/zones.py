"""`Zone`: a sector of an annulus around the star, in which the star is modelled by itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from csst_cpic.star.reduction import Reduction
from csst_cpic.star.sky_frame import central_pixel


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """Pixels between two radii and two position angles from the star."""

    inner_pixel: float
    outer_pixel: float
    sector: int
    pixels: NDArray[np.intp]
    """Flat indices into a plane, ascending."""

    @property
    def radius_pixel(self) -> float:
        """Middle of the annulus."""
        return (self.inner_pixel + self.outer_pixel) / 2


def zones_of(shape: tuple[int, int], reduction: Reduction) -> list[Zone]:
    """Return the zones of a plane that hold a pixel, annulus by annulus from the inside.

    Parameters
    ----------
    shape
        Rows and columns; the star is on `csst_cpic.star.sky_frame.central_pixel`.
    reduction
        Radii, annulus width and number of sectors. Sectors begin at +x and go towards +y.
    """
    row, column = central_pixel(shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(y - row, x - column).ravel()
    angle = np.arctan2(y - row, x - column).ravel() % (2 * np.pi)
    sector = np.minimum(angle / (2 * np.pi) * reduction.sectors, reduction.sectors - 1).astype(int)
    inner, outer = reduction.inner_radius_pixel, reduction.outer_radius_pixel
    width = reduction.annulus_width_pixel
    count = max(int(np.ceil((outer - inner) / width - 1e-6)), 1)
    edges = [*(inner + width * np.arange(count)), outer]
    zones = []
    for low, high in pairwise(edges):
        ring = (radius >= low) & (radius < high)
        for number in range(reduction.sectors):
            pixels = np.flatnonzero(ring & (sector == number))
            if len(pixels):
                zones.append(Zone(float(low), float(high), number, pixels))
    return zones
