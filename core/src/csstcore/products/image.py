"""`Image` and `Mask`: planes of one detector or one sky area."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csstcore.products.meta import Meta

if TYPE_CHECKING:
    from astropy.nddata import CCDData
    from astropy.wcs import WCS

DEFAULT_FLAG_BITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "bad": 1,
        "hot": 2,
        "warm": 4,
        "saturated": 8,
        "cosmic_ray": 16,
        "trail": 32,
        "ghost": 64,
        "scattered_light": 128,
    }
)
"""Flag names and values of an image made by hand; files take theirs from the definition."""


@dataclass(slots=True, eq=False)
class Image:
    """A two-dimensional image with variance, flags and world coordinates.

    Planes are C-contiguous and native-endian, ``[row, column]`` = ``[y, x]``. Stages may
    share planes between products with ``dataclasses.replace(image, wcs=wcs)``.
    """

    data: NDArray[Any]
    """Pixel values, shape (rows, columns); raw frames keep their integer type, all others
    are float32."""
    unit: u.UnitBase = u.dimensionless_unscaled
    """Unit of `data`; `variance` is in its square."""
    variance: NDArray[np.float32] | None = None
    flags: NDArray[np.uint16] | None = None
    """One bit per condition; see `flag_bits`."""
    wcs: WCS | None = None
    meta: Meta = field(default_factory=Meta)
    flag_bits: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_FLAG_BITS))

    def __post_init__(self) -> None:
        if self.data.ndim != 2:
            raise ValueError(f"Image.data has shape {self.data.shape}; expected two dimensions")
        for name in ("variance", "flags"):
            plane = getattr(self, name)
            if plane is not None and plane.shape != self.data.shape:
                raise ValueError(
                    f"Image.{name} has shape {plane.shape}; expected {self.data.shape} as data"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (rows, columns)."""
        rows, columns = self.data.shape
        return rows, columns

    def bit(self, name: str) -> np.uint16:
        """Return the value of the flag called `name`."""
        try:
            return np.uint16(self.flag_bits[name])
        except KeyError:
            known = ", ".join(self.flag_bits)
            raise ValueError(f"no flag is called {name!r}; this image has {known}") from None

    def set_flag(self, name: str, where: NDArray[np.bool_]) -> None:
        """Set the flag called `name` where `where` is true, in place; makes `flags` if absent."""
        if self.flags is None:
            self.flags = np.zeros(self.data.shape, np.uint16)
        np.bitwise_or(self.flags, self.bit(name), out=self.flags, where=where)

    def flagged(self, *names: str) -> NDArray[np.bool_]:
        """Return where any of the named flags (all flags if none is named) is set."""
        if self.flags is None:
            return np.zeros(self.data.shape, np.bool_)
        if names:
            bits = np.uint16(sum(int(self.bit(name)) for name in set(names)))
        else:
            bits = np.uint16(0xFFFF)
        return np.asarray(self.flags & bits, np.bool_)

    def to_ccddata(self) -> CCDData:
        """Return an `astropy.nddata.CCDData` that shares the planes."""
        from astropy.nddata import CCDData, VarianceUncertainty

        uncertainty = (
            None if self.variance is None else VarianceUncertainty(self.variance, copy=False)
        )
        mask = None if self.flags is None else self.flags != 0
        return CCDData(
            self.data, unit=self.unit, uncertainty=uncertainty, mask=mask, wcs=self.wcs, copy=False
        )


@dataclass(slots=True, eq=False)
class Mask:
    """A plane of booleans."""

    mask: NDArray[np.bool_]
    """Shape (rows, columns)."""
    meta: Meta = field(default_factory=Meta)
