"""`Spectra` and `Cube`: products with a spectral axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.products.image import DEFAULT_FLAG_BITS
from csstcore.products.meta import Meta

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from specutils import Spectrum


@dataclass(slots=True, eq=False)
class Spectra:
    """Many spectra with a common or an individual axis; time-ordered dumps are spectra too."""

    flux: NDArray[Any]
    """Shape (spectra, channels)."""
    axis: u.Quantity
    """Wavelength, frequency or velocity; shape (channels,) if common, else as `flux`."""
    unit: u.UnitBase = u.dimensionless_unscaled
    """Unit of `flux`; `variance` is in its square."""
    variance: NDArray[np.float32] | None = None
    flags: NDArray[np.uint16] | None = None
    rows: QTable | None = None
    """One row per spectrum: time, pointing, state, housekeeping ..."""
    meta: Meta = field(default_factory=Meta)
    flag_bits: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_FLAG_BITS))

    def __post_init__(self) -> None:
        if self.flux.ndim != 2:
            raise ValueError(f"Spectra.flux has shape {self.flux.shape}; expected two dimensions")
        if self.axis.shape not in (self.flux.shape, self.flux.shape[1:]):
            raise ValueError(
                f"Spectra.axis has shape {self.axis.shape}; expected {self.flux.shape[1:]} "
                f"or {self.flux.shape}"
            )
        for name in ("variance", "flags"):
            plane = getattr(self, name)
            if plane is not None and plane.shape != self.flux.shape:
                raise ValueError(
                    f"Spectra.{name} has shape {plane.shape}; expected {self.flux.shape} as flux"
                )
        if self.rows is not None and len(self.rows) != len(self.flux):
            raise ValueError(
                f"Spectra.rows has {len(self.rows)} rows; expected {len(self.flux)}, one a spectrum"
            )

    def __len__(self) -> int:
        return len(self.flux)

    def to_spectrum(self, index: int) -> Spectrum:
        """Return spectrum `index` as a `specutils.Spectrum` that shares its values."""
        from astropy.nddata import VarianceUncertainty
        from specutils import Spectrum

        axis = self.axis if self.axis.ndim == 1 else self.axis[index]
        uncertainty = (
            None if self.variance is None else VarianceUncertainty(self.variance[index], copy=False)
        )
        mask = None if self.flags is None else self.flags[index] != 0
        return Spectrum(
            flux=u.Quantity(self.flux[index], self.unit, copy=False),
            spectral_axis=axis,
            uncertainty=uncertainty,
            mask=mask,
        )


@dataclass(slots=True, eq=False)
class Cube:
    """A cube ``[channel or frame, y, x]``."""

    data: NDArray[Any]
    """Shape (planes, rows, columns)."""
    unit: u.UnitBase = u.dimensionless_unscaled
    variance: NDArray[np.float32] | None = None
    flags: NDArray[np.uint16] | None = None
    wcs: WCS | None = None
    meta: Meta = field(default_factory=Meta)
    flag_bits: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_FLAG_BITS))

    def __post_init__(self) -> None:
        if self.data.ndim != 3:
            raise ValueError(f"Cube.data has shape {self.data.shape}; expected three dimensions")
        for name in ("variance", "flags"):
            plane = getattr(self, name)
            if plane is not None and plane.shape != self.data.shape:
                raise ValueError(
                    f"Cube.{name} has shape {plane.shape}; expected {self.data.shape} as data"
                )
