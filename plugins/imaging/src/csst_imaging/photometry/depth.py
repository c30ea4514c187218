"""How faint a source an image shows."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csstcore.api import Image

SIGMA = 5.0
SAMPLES = 1_000_000


def limiting_flux(image: Image, fwhm_pixel: float) -> float:
    """Return the flux of a point source that is measured at 5 sigma, in the unit of the image.

    With the noise-equivalent area A = 4 pi s^2 of a Gaussian of width s = FWHM / 2.3548, that is
    for fluxes weighted with the PSF (King 1983, PASP 95, 163), the variance v of a pixel without
    sources, and the exposure time t for fluxes in electrons per second,

        f = 5 sqrt(A v + f / t).

    Parameters
    ----------
    image
        About a million pixels of its variance are looked at; flagged ones do not count.
    fwhm_pixel
        Width of point sources.

    Returns
    -------
    float
        NaN without a variance, an exposure time or a width.
    """
    if image.variance is None or not fwhm_pixel > 0:
        return float("nan")
    step = max(int(np.sqrt(image.data.size / SAMPLES)), 1)
    variance = image.variance[::step, ::step]
    good = np.isfinite(variance) & (variance > 0)
    if image.flags is not None:
        good &= image.flags[::step, ::step] == 0
    if not good.any():
        return float("nan")
    seconds = 1.0
    if image.unit.is_equivalent(u.electron / u.s):
        if image.meta.exposure_time is None:
            return float("nan")
        seconds = float(image.meta.exposure_time.to_value(u.s))
    area = 4.0 * np.pi * (fwhm_pixel / 2.3548) ** 2
    sky = area * float(np.median(variance[good]))
    shot = SIGMA**2 / seconds
    return float(0.5 * (shot + np.sqrt(shot**2 + 4.0 * SIGMA**2 * sky)))
