"""`ResidualMap`: what is left of a star, how significant it is, and how it was reduced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.api import Image


@dataclass(slots=True, eq=False)
class ResidualMap(Image):
    """A residual `Image`, North up and East left."""

    signal_to_noise: NDArray[np.float32] | None = None
    """Shape as `data` (Mawet et al. 2014)."""
    settings: QTable | None = None
    """One row: the settings of the reduction."""
    companions: QTable | None = None
    """Companions found in it, with their fits."""

    def __post_init__(self) -> None:
        Image.__post_init__(self)
        plane = self.signal_to_noise
        if plane is not None and plane.shape != self.data.shape:
            raise ValueError(
                f"ResidualMap.signal_to_noise has shape {plane.shape}; expected {self.data.shape}"
            )
