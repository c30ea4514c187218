"""The filters of a camera: what they let through, and synthetic magnitudes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LIGHT_SPEED_M_PER_S = 299792458.0
AB_FLUX_W_M2_HZ = 3.631e-23
"""Flux of magnitude 0 (Oke & Gunn 1983, ApJ 266, 713): 3631 Jy."""

SPECTRUM_WAVELENGTH_NM = np.arange(336.0, 1021.0, 2.0)
"""Where the mean spectra of Gaia DR3 are sampled."""

COVERED = 0.995
"""Part of a filter's photons, of a flat spectrum, that a spectrum must span."""

STEP_NM = 0.25


@dataclass(frozen=True, slots=True)
class Passband:
    """One filter."""

    zero_point_mag: float
    """AB magnitude of a source of one electron per second through nominal optics: it defines
    the magnitudes of the filter."""
    wavelength_nm: tuple[float, ...]
    throughput: tuple[float, ...]
    """Electrons per photon at these wavelengths, straight between them and 0 outside."""

    def __post_init__(self) -> None:
        wave = np.array(self.wavelength_nm)
        if len(wave) != len(self.throughput) or len(wave) < 2 or (np.diff(wave) <= 0).any():
            raise ValueError(
                f"a passband has {len(wave)} wavelengths and {len(self.throughput)} throughputs; "
                "expected as many of both, at least two, and growing wavelengths"
            )
        if min(self.throughput) < 0 or max(self.throughput) <= 0:
            raise ValueError("a passband has throughputs below zero, or none above")

    def grid(self) -> tuple[Floats, Floats]:
        """Return wavelengths in steps of at most 0.25 nm, and the throughput there."""
        ends = np.array(self.wavelength_nm)
        steps = [
            np.linspace(low, high, int(np.ceil((high - low) / STEP_NM)), endpoint=False)
            for low, high in pairwise(ends)
        ]
        wave = np.concatenate([*steps, ends[-1:]])
        return wave, np.interp(wave, ends, self.throughput)


@dataclass(frozen=True, slots=True)
class Passbands:
    """The filters of an instrument (reference type ``imaging.passbands``)."""

    filters: dict[str, Passband]


def is_covered(passband: Passband, wavelength_nm: Floats) -> bool:
    """Return whether spectra at these wavelengths span a filter."""
    wave, throughput = passband.grid()
    photons = throughput / wave  # of a flat spectrum in frequency
    inside = (wave >= wavelength_nm[0]) & (wave <= wavelength_nm[-1])
    seen = np.trapezoid(np.where(inside, photons, 0.0), wave)
    return bool(seen >= COVERED * np.trapezoid(photons, wave))


def synthetic_magnitudes(
    passband: Passband, wavelength_nm: Floats, flux: Floats, error: Floats
) -> tuple[Floats, Floats]:
    """Return the AB magnitudes of spectra through a filter, and their errors.

    Counting photons (Bessell & Murphy 2012, PASP 124, 140): the mean of f_lambda, weighted with
    wavelength and throughput, over that of a source of 3631 Jy.

    Parameters
    ----------
    passband
        The filter.
    wavelength_nm
        Where the spectra are sampled; shape (samples,).
    flux, error
        f_lambda in W m-2 nm-1 with independent errors; shape (spectra, samples).

    Returns
    -------
    tuple
        Shape (spectra,); NaN where the spectra do not span the filter or have no light in it.
    """
    if not is_covered(passband, wavelength_nm):
        nothing = np.full(len(flux), np.nan)
        return nothing, nothing.copy()
    wave, throughput = passband.grid()
    inside = (wave >= wavelength_nm[0]) & (wave <= wavelength_nm[-1])
    wave, throughput = wave[inside], throughput[inside]
    # straight lines between samples: the integral is a sum over the samples
    share = np.zeros((len(wavelength_nm), len(wave)))
    right = np.clip(np.searchsorted(wavelength_nm, wave, side="right"), 1, len(wavelength_nm) - 1)
    part = (wave - wavelength_nm[right - 1]) / (wavelength_nm[right] - wavelength_nm[right - 1])
    share[right - 1, np.arange(len(wave))] = 1.0 - part
    share[right, np.arange(len(wave))] += part
    width = np.gradient(wave)
    width[[0, -1]] = 0.5 * (wave[1] - wave[0]), 0.5 * (wave[-1] - wave[-2])
    weights = share @ (throughput * wave * width)
    metre_per_nm = 1e-9
    flat = AB_FLUX_W_M2_HZ * LIGHT_SPEED_M_PER_S / (wave * metre_per_nm) ** 2 * metre_per_nm
    unit = np.sum(flat * throughput * wave * width)
    light = flux @ weights
    noise = np.sqrt(error**2 @ weights**2)
    bright = light > 0
    safe = np.where(bright, light, 1.0)
    magnitude = np.where(bright, -2.5 * np.log10(safe / unit), np.nan)
    return magnitude, np.where(bright, 2.5 / np.log(10.0) * noise / safe, np.nan)
