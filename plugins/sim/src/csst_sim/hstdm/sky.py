"""Brightness of the sky as the main beam sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csst_sim.hstdm.orbit import LIGHT_KMS
from csst_sim.hstdm.plan import Source

_WIDTH = 4 * np.log(2.0)


def beam_fwhm_arcsec(frequency_hz: Any, aperture_m: float, beam_factor: float) -> Any:
    """Return the full width at half maximum of the beam."""
    wavelength_m = LIGHT_KMS * 1e3 / frequency_hz
    return beam_factor * wavelength_m / aperture_m * 180 * 3600 / np.pi


def coupling(source: Source, offset_arcsec: NDArray[Any], beam_arcsec: float) -> NDArray[Any]:
    """Return what the beam sees of a source, relative to its `peak_kelvin`.

    Two Gaussians convolved: ``s^2 / (s^2 + b^2) exp(-4 ln 2 r^2 / (s^2 + b^2))``; for a point
    the first factor is in its peak already.

    Parameters
    ----------
    source
        Place and size.
    offset_arcsec
        Of the beam from the target; shape (pointings, 2).
    beam_arcsec
        Full width at half maximum.
    """
    if source.size_arcsec is None:
        return np.ones(len(offset_arcsec))
    place = np.array([source.ra_offset_arcsec, source.dec_offset_arcsec])
    square = np.sum((offset_arcsec - place) ** 2, axis=-1)
    width = source.size_arcsec**2 + beam_arcsec**2
    dilution = source.size_arcsec**2 / width if source.size_arcsec else 1.0
    return np.asarray(dilution * np.exp(-_WIDTH * square / width))


def main_beam_kelvin(
    sources: Sequence[Source],
    offset_arcsec: NDArray[Any],
    lsrk_hz: NDArray[Any],
    aperture_m: float,
    beam_factor: float,
) -> NDArray[np.float64]:
    """Return the main-beam brightness of the sources.

    Parameters
    ----------
    sources
        Lines and continuum.
    offset_arcsec
        Of the beam from the target; shape (pointings, 2).
    lsrk_hz
        Frequencies at the local standard of rest; shape (pointings, channels).
    aperture_m, beam_factor
        Of the telescope.

    Returns
    -------
    brightness
        Kelvin, shape (pointings, channels).
    """
    total = np.zeros(np.broadcast_shapes(lsrk_hz.shape, (len(offset_arcsec), 1)))
    for source in sources:
        rest_hz = source.rest_frequency_ghz * 1e9
        seen = coupling(source, offset_arcsec, beam_fwhm_arcsec(rest_hz, aperture_m, beam_factor))[
            :, None
        ]
        east = offset_arcsec[:, :1] / 60
        velocity = source.velocity_kms + source.gradient_kms_per_arcmin * east
        centre = rest_hz * (1 - velocity / LIGHT_KMS)
        fwhm = rest_hz * source.fwhm_kms / LIGHT_KMS
        profile = np.exp(-_WIDTH * ((lsrk_hz - centre) / fwhm) ** 2)
        total += seen * (source.peak_kelvin * profile + source.continuum_kelvin)
    return total
