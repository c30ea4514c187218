"""`SpectralMap`: a cube of spectra on the sky with its weights and beam."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csstcore.api import Cube, UnprocessableData

MAP_FLAG_BITS: Final[dict[str, int]] = {"no_data": 1, "border": 2}


@dataclass(slots=True, eq=False)
class SpectralMap(Cube):
    """A `Cube` ``[channel, y, x]`` in kelvin whose third world coordinate is frequency."""

    weight: u.Quantity | None = None
    """Sum of kernel times ``t width / T_sys^2`` of the dumps, mean of the channels; (y, x)."""
    beam_deg: float = 0.0
    """Full width at half maximum of the beam in the map."""
    telescope_beam_deg: float = 0.0
    """Full width at half maximum of the telescope's beam."""
    resampled_variance: float = 1.0
    """Variance of a channel over that before resampling: the variance of a sum of channels is
    the sum of their variances over this."""
    flag_bits: dict[str, int] = field(default_factory=lambda: dict(MAP_FLAG_BITS))

    def __post_init__(self) -> None:
        Cube.__post_init__(self)
        if self.weight is not None and self.weight.shape != self.data.shape[1:]:
            raise ValueError(
                f"SpectralMap.weight has shape {self.weight.shape}; expected {self.data.shape[1:]}"
            )

    @property
    def frequency_hz(self) -> NDArray[np.float64]:
        """Frequencies of the channels.

        Raises
        ------
        UnprocessableData
            If the world coordinates have no axis of frequency or radio velocity.
        """
        if self.wcs is None or self.wcs.naxis < 3 or self.wcs.wcs.spec < 0:
            raise UnprocessableData("the cube has no spectral axis")
        pixels = np.zeros((len(self.data), self.wcs.naxis))
        pixels[:, self.wcs.wcs.spec] = np.arange(len(self.data))
        values = self.wcs.wcs_pix2world(pixels, 0)[:, self.wcs.wcs.spec]
        kind = str(self.wcs.wcs.ctype[self.wcs.wcs.spec])[:4]
        if kind == "FREQ":
            return np.asarray(values)
        if kind == "VRAD":
            return np.asarray(self.rest_frequency_hz * (1 - values / 299792458.0))
        raise UnprocessableData(f"the spectral axis is {kind}; expected FREQ or VRAD")

    @property
    def rest_frequency_hz(self) -> float:
        """Rest frequency of the line observed.

        Raises
        ------
        UnprocessableData
            If the world coordinates do not give it.
        """
        if self.wcs is None or not self.wcs.wcs.restfrq > 0:
            raise UnprocessableData("the cube has no rest frequency (RESTFRQ)")
        return float(self.wcs.wcs.restfrq)
