"""`DarkZone`: where the coronagraph suppresses the star (reference type ``cpic.dark_zone``)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Positive: TypeAlias = Annotated[float, Field(gt=0)]

_RADIAN_ARCSEC = 180 * 3600 / np.pi


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DarkZone:
    """A ring about the star, in units of wavelength over aperture."""

    aperture_m: Positive
    inner_radius: Annotated[float, Field(ge=0)]
    outer_radius: Positive
    pixel_scale_arcsec: Positive
    """Where a frame does not give its own."""
    wavelength_nm: dict[str, Positive]
    """By filter."""

    def radii_pixel(self, filter_name: str, pixel_scale_arcsec: float) -> tuple[float, float]:
        """Return inner and outer radius in a filter; `KeyError` without its wavelength."""
        metre = self.wavelength_nm[filter_name] * 1e-9
        unit_pixel = metre / self.aperture_m * _RADIAN_ARCSEC / pixel_scale_arcsec
        return self.inner_radius * unit_pixel, self.outer_radius * unit_pixel


def ring(shape: tuple[int, int], inner_pixel: float, outer_pixel: float) -> NDArray[np.bool_]:
    """Return which pixels lie in a ring about the middle of an image."""
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in shape)
    square = rows[:, None] ** 2 + columns**2
    return (square >= inner_pixel**2) & (square <= outer_pixel**2)
