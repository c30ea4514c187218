"""How noisy each aperture of a reduced image is, from the scatter of the frames in it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from csst_cpic.planets.aperture_noise import aperture_sums
from csst_cpic.star.derotate import derotated
from csst_cpic.star.klip import StarSubtraction
from csst_cpic.star.sky_frame import central_pixel

_SMOOTH_FWHM: Final = 0.75
"""Standard deviation of the Gaussian that smooths variances."""
_LEAST_FRAMES: Final = 4

Float = NDArray[np.float64]


def levels(subtraction: StarSubtraction, signal: NDArray[np.float32] | None = None) -> Float:
    """Return by what to multiply apertures so that noise is the same all around a ring.

    Bright speckles leave more noise where they were, and more of themselves, so that a ring is a
    mixture and its brightest apertures are beyond Student's t: twice as many false positives at
    3 sigma in simulated cubes. The factor is the mean scatter of the apertures at the same
    radius, over that of this one, both from frame to frame.

    Parameters
    ----------
    subtraction
        The residuals of its frames are turned North up first.
    signal
        Added to the cube: known companions, negative. What is left of one would count as noise.

    Returns
    -------
    NDArray
        Shape (rows, columns); NaN where an aperture has no values in enough frames.
    """
    scatter = aperture_scatter(subtraction, signal)
    return np.asarray(_ring_mean(scatter) / scatter)


def aperture_scatter(
    subtraction: StarSubtraction, signal: NDArray[np.float32] | None = None
) -> Float:
    """Return the standard deviation over the frames of the sum of each aperture, smoothed."""
    shape, fwhm = subtraction.shape, subtraction.reduction.fwhm_pixel
    residuals = subtraction.result(signal, np.zeros(shape, np.bool_)).residuals
    everywhere = np.arange(shape[0] * shape[1])
    count, total, square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for k in range(len(residuals)):
        frame = slice(k, k + 1)
        plane = derotated(residuals[frame], subtraction.angles_deg[frame], everywhere)
        sums = aperture_sums(plane.reshape(shape), fwhm)
        valid = np.isfinite(sums)
        sums[~valid] = 0.0
        count += valid
        total += sums
        square += sums**2
    enough = count >= _LEAST_FRAMES
    number = np.maximum(count, 1)
    variance = np.where(enough, square / number - (total / number) ** 2, 0.0)
    smooth = gaussian_filter(variance, _SMOOTH_FWHM * fwhm)
    share = gaussian_filter(enough.astype(np.float64), _SMOOTH_FWHM * fwhm)
    valid = enough & (smooth > 0)
    level = np.divide(smooth, share, out=np.full(shape, np.nan), where=valid)
    return np.asarray(np.sqrt(level))


def _ring_mean(plane: Float) -> Float:
    """Return the mean of the pixels at the same distance from the star, to a pixel."""
    row, column = central_pixel(plane.shape)
    y, x = np.ogrid[: plane.shape[0], : plane.shape[1]]
    ring = np.rint(np.hypot(y - row, x - column)).astype(np.intp)
    valid = np.isfinite(plane)
    total = np.bincount(ring[valid], plane[valid], ring.max() + 1)
    number = np.bincount(ring[valid], minlength=ring.max() + 1)
    return np.asarray((total / np.maximum(number, 1))[ring])
