"""`DetectorTable`: the detectors of the survey camera and their filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Detector:
    """One detector of the focal plane."""

    number: int
    filter: str
    """Filter or grating."""
    kind: Literal["MBI", "SLS"]
    row: int
    """Row in the focal plane, 1 to 5."""
    column: int
    """Column in the focal plane, 1 to 6."""
    crpix: tuple[float, float]
    """FITS pixel of the detector's active area at which the pointing lies."""


@dataclass(frozen=True, slots=True)
class Band:
    """One filter."""

    half_maximum_angstrom: tuple[float, float]
    """Wavelengths at half of the largest throughput."""
    pivot_angstrom: float
    zero_point_mag: float
    """AB magnitude of a source that gives 1 electron per second."""
    sky_electron_per_s: float
    """Sky in one pixel."""


@dataclass(frozen=True, slots=True)
class DetectorTable:
    """The focal plane."""

    columns: int
    """Active columns of a detector."""
    rows: int
    """Active rows of a detector."""
    pixel_scale_arcsec: float
    read_noise_electron: float
    dark_electron_per_s: float
    full_well_electron: float
    detectors: tuple[Detector, ...]
    bands: dict[str, Band]

    def detector(self, number: int) -> Detector:
        """Return a detector by its number.

        Raises
        ------
        KeyError
            If there is none of this number.
        """
        for detector in self.detectors:
            if detector.number == number:
                return detector
        raise KeyError(f"no detector {number}; there are {len(self.detectors)}, from 1")
