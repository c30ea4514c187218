"""Whether a source is wider than the PSF: SPREAD_MODEL."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.spline import coefficients
from csstcore.api import Psf, compiled

DISK_FWHM = 1.0 / 16.0
"""Scale length of the exponential disk, in FWHM of the PSF."""


def extended_planes(psf: Psf, fwhm_pixel: float) -> NDArray[np.float32]:
    """Return the spline coefficients of the PSF convolved with a small exponential disk.

    The disk's Fourier transform, (1 + (2 pi f h)^2)^(-3/2) for a scale length h, is applied
    to the samples.

    Parameters
    ----------
    psf
        The model.
    fwhm_pixel
        Its width.
    """
    count = psf.samples.shape[-1]
    size = 2 * count
    rows, columns = np.fft.fftfreq(size, psf.step_pixel), np.fft.rfftfreq(size, psf.step_pixel)
    squared = rows[:, None] ** 2 + columns[None, :] ** 2
    disk = (1.0 + (2 * np.pi * DISK_FWHM * fwhm_pixel) ** 2 * squared) ** -1.5
    spectrum = np.fft.rfft2(psf.samples.astype(np.float64), (size, size)) * disk
    rows_, columns_ = psf.samples.shape[1:]
    return coefficients(np.fft.irfft2(spectrum, (size, size))[:, :rows_, :columns_])


@compiled
def spread_of(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    point: NDArray[np.float32],
    disk: NDArray[np.float32],
    photons: float,
    out: NDArray[np.float64],
) -> None:
    """Measure how much better a small disk fits than a point.

    (G W p) / (F W p) - (G W F) / (F W F), with the image p, the point source F and the disk G
    at its place, and the inverse variances W (Desai et al. 2012, ApJ 757, 83; Bouy et al. 2013,
    A&A 554, A101): 0 for point sources, positive for galaxies, negative for cosmic rays.

    Parameters
    ----------
    data, variance
        Stamp of the source; infinite variance where a pixel does not count.
    point, disk
        Unit sources, same shape.
    photons
        Variance that the source adds, per unit of `point`.
    out
        Written: the measure and its error.
    """
    a = b = c = d = e = 0.0
    for i in range(data.shape[0]):
        for j in range(data.shape[1]):
            if variance[i, j] == np.inf:
                continue
            f, g, p = point[i, j], disk[i, j], data[i, j]
            w = 1.0 / (variance[i, j] + photons * max(f, np.float32(0)))
            a += g * w * p
            b += f * w * p
            c += g * w * f
            d += f * w * f
            e += g * w * g
    if b <= 0.0 or d <= 0.0:
        out[:] = np.nan
        return
    out[0] = a / b - c / d
    squared = e / b**2 - 2.0 * a * c / b**3 + a * a * d / b**4
    out[1] = np.sqrt(max(squared, 0.0))
