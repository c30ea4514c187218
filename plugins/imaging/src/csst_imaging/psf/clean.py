"""What noise does to an oversampled PSF, and taking it out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.shape import centroid_window, offsets

Floats = NDArray[np.float64]

RING_SAMPLES = 2.0
NOISE_RADIUS = 0.85
"""Beyond this part of the half side of the grid, what differs from ring to ring is noise."""


def shrink(samples: Floats) -> Floats:
    """Shrink samples toward the means of rings as far as noise makes them differ.

    Within a ring the samples are ``mean + (1 - noise / scatter) (sample - mean)``, the
    positive-part estimate of James & Stein (1961); the noise is the scatter in the outermost
    ring. Where the PSF stands out of the noise nothing changes; its far wings become round.
    The terms that vary over the field lose their mean too, where it is noise.

    Parameters
    ----------
    samples
        Shape (terms, rows, columns), terms orthonormal: of equal noise.
    """
    count = samples.shape[-1]
    radius = np.hypot(*offsets(count, 1.0))
    ring = (radius / RING_SAMPLES).astype(np.int64).ravel()
    number = np.bincount(ring)
    result = np.empty_like(samples)
    far = radius > NOISE_RADIUS * (count // 2)
    for term, plane in enumerate(samples):
        mean = np.bincount(ring, plane.ravel()) / number
        rest = plane.ravel() - mean[ring]
        scatter = np.bincount(ring, rest**2) / np.maximum(number - 1, 1)
        noise = float(np.mean(rest[far.ravel()] ** 2))
        keep = np.clip(1.0 - noise / np.maximum(scatter, 1e-300), 0.0, 1.0)
        keep[number < 2] = 1.0
        keep = np.minimum.accumulate(keep)
        if term:
            of_mean = np.clip(1.0 - noise / number / np.maximum(mean**2, 1e-300), 0.0, 1.0)
            mean = mean * np.minimum.accumulate(np.maximum(of_mean, keep))
        result[term] = (mean[ring] + keep[ring] * rest).reshape(plane.shape)
    return result


def normalised(samples: Floats, step_pixel: float) -> Floats:
    """Return the samples of a unit source everywhere in the field, to first order.

    Parameters
    ----------
    samples
        Shape (terms, rows, columns), the first term being constant.
    step_pixel
        Their distance.
    """
    flux = samples.sum(axis=(1, 2)) * step_pixel**2
    result = samples / flux[0]
    result[1:] -= (flux[1:] / flux[0])[:, None, None] * result[0]
    return np.asarray(result)


def centroids(samples: Floats, step_pixel: float, fwhm_pixel: float) -> Floats:
    """Return the centroid x, y [pixel] of each term for a unit source, shape (terms, 2).

    The centroid is the first moment within three FWHM; it is linear in the samples of a
    normalised PSF as long as the flux in the window is the same over the field.
    """
    window = centroid_window(samples.shape[-1], step_pixel, fwhm_pixel)
    x, y = offsets(samples.shape[-1], step_pixel)
    inside = float(np.sum(samples[0] * window))
    return np.stack([(samples * (window * axis)).sum(axis=(1, 2)) / inside for axis in (x, y)], -1)


def recentred(samples: Floats, step_pixel: float, shift_pixel: Floats) -> Floats:
    """Return the samples with their centroids moved to the middle, to first order.

    Parameters
    ----------
    samples
        Shape (terms, rows, columns).
    step_pixel
        Their distance.
    shift_pixel
        Small centroids x, y of each term, see `centroids`.
    """
    along_y, along_x = np.gradient(samples[0], step_pixel)
    moved = shift_pixel[:, 0, None, None] * along_x + shift_pixel[:, 1, None, None] * along_y
    return np.asarray(samples + moved)
