"""Flux in an aperture against that in the others at the same distance from the star."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from csst_cpic.planets.small_samples import LEAST_APERTURES, aperture_number
from csst_cpic.star.sky_frame import central_pixel
from csstcore.api import compiled, each, pieces

LEAST_COVERAGE: Final = 0.7
"""An aperture counts if at least this part of it has values."""
LEAST_RING: Final = 0.5
"""A ring counts if at least this part of its apertures has values."""
_NEIGHBOURS: Final = 2
_SUBPIXELS: Final = 20


def apertures_used(radius_pixel: NDArray[np.float64], fwhm_pixel: float) -> NDArray[np.int64]:
    """Return how many apertures a ratio at a radius rests on where all of them have values.

    They are the tested one and the others of its ring but its two neighbours; Student's t has
    two degrees of freedom less than that.
    """
    return aperture_number(radius_pixel, fwhm_pixel) - _NEIGHBOURS


def aperture_sums(image: NDArray[np.float32], fwhm_pixel: float) -> NDArray[np.float64]:
    """Return the sum over an aperture of one FWHM around each pixel.

    Pixels on the rim count by their part inside; pixels without a value as the mean of the
    others in the aperture.

    Parameters
    ----------
    image
        Shape (rows, columns); NaN where there is no value.
    fwhm_pixel
        Diameter of the aperture.

    Returns
    -------
    NDArray
        Shape of `image`; NaN where less than `LEAST_COVERAGE` of the aperture has values.
    """
    total, coverage = aperture_totals(image, fwhm_pixel)
    sums = np.full(image.shape, np.nan)
    np.divide(total, coverage, out=sums, where=coverage >= LEAST_COVERAGE)
    return sums


def aperture_totals(
    image: NDArray[np.float32], fwhm_pixel: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the values in an aperture around each pixel, and its part with values.

    Neither has gaps, so that both can be interpolated: a sum over the pixels of an aperture
    that is not centred on a pixel depends by up to 2 % on where between pixels it lies.
    """
    half = int(np.ceil(fwhm_pixel / 2 - 0.5))
    offset = (np.arange((2 * half + 1) * _SUBPIXELS) + 0.5) / _SUBPIXELS - half - 0.5
    fine = np.hypot(offset[:, np.newaxis], offset) <= fwhm_pixel / 2
    kernel = fine.reshape(2 * half + 1, _SUBPIXELS, 2 * half + 1, _SUBPIXELS).mean(axis=(1, 3))
    valid = np.isfinite(image)
    total = convolve(np.where(valid, image, 0).astype(np.float64), kernel, mode="constant")
    return total, convolve(valid.astype(np.float64), kernel, mode="constant") / kernel.sum()


def ratios(
    sums: NDArray[np.float64],
    fwhm_pixel: float,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how far apertures stand out of their rings (Mawet et al. 2014, ApJ 792, 97).

    ``(x_1 - mean_2) / (s_2 sqrt(1 + 1 / n_2))`` with the mean and scatter of the n_2 other
    apertures at the same distance, side by side around the star. The two next to the tested one
    are left out: there a companion leaves negative wings.

    Parameters
    ----------
    sums
        From `aperture_sums`; the star is on `csst_cpic.star.sky_frame.central_pixel`.
    fwhm_pixel
        Diameter of the apertures.
    rows, columns
        Places to test as array indices from 0, shape (places,).

    Returns
    -------
    ratio, apertures
        The ratio, and ``n_2 + 1``; Student's t has ``n_2 - 1`` degrees of freedom. NaN where
        fewer than three apertures, or less than half of the ring, have values.
    """
    row, column = central_pixel(sums.shape)
    ratio = np.empty(len(rows))
    used = np.empty(len(rows), np.int64)
    number = aperture_number(np.hypot(rows - row, columns - column), fwhm_pixel)

    def part(run: slice) -> None:
        places = (rows[run], columns[run])
        _ratios(sums, row, column, *places, number[run], ratio[run], used[run])

    each(part, pieces(len(rows), 500))
    return ratio, used


@compiled
def _ratios(
    sums: NDArray[np.float64],
    centre_row: int,
    centre_column: int,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    number: NDArray[np.int64],
    ratio: NDArray[np.float64],
    used: NDArray[np.int64],
) -> None:
    """Fill in ratios and numbers of apertures."""
    for k in range(len(rows)):
        ratio[k], used[k] = np.nan, 0
        count = number[k]
        tested = _cubic(sums, rows[k], columns[k])
        if not np.isfinite(tested) or count - 2 < LEAST_APERTURES:
            continue
        others = np.empty(count)
        dy, dx = rows[k] - centre_row, columns[k] - centre_column
        found = 0
        for step in range(2, count - 1):
            angle = 2 * np.pi * step / count
            cosine, sine = np.cos(angle), np.sin(angle)
            value = _cubic(
                sums,
                centre_row + dy * cosine + dx * sine,
                centre_column + dx * cosine - dy * sine,
            )
            if np.isfinite(value):
                others[found] = value
                found += 1
        if found < max(LEAST_APERTURES - 1, LEAST_RING * (count - 3)):
            continue
        mean = others[:found].mean()
        scatter = np.sqrt(np.sum((others[:found] - mean) ** 2) / (found - 1))
        used[k] = found + 1
        if scatter > 1e-12 * abs(mean):
            ratio[k] = (tested - mean) / (scatter * np.sqrt(1 + 1 / found))


@compiled
def _cubic(plane: NDArray[np.float64], y: float, x: float) -> float:
    """Interpolate with the cubic through four pixels in each direction (Keys 1981).

    NaN where one of the four pixels around has no value; linear at the rim of those.
    """
    height, width = plane.shape
    if not (0 <= y <= height - 1 and 0 <= x <= width - 1):
        return np.nan
    row, column = min(int(y), height - 2), min(int(x), width - 2)
    dy, dx = y - row, x - column
    inside = 0 < row < height - 2 and 0 < column < width - 2
    if inside:
        total = 0.0
        for i in range(-1, 3):
            weight = _keys(dy - i)
            for j in range(-1, 3):
                total += weight * _keys(dx - j) * plane[row + i, column + j]
        if np.isfinite(total):
            return float(total)
    below = (1 - dx) * plane[row, column] + dx * plane[row, column + 1]
    above = (1 - dx) * plane[row + 1, column] + dx * plane[row + 1, column + 1]
    return float((1 - dy) * below + dy * above)


@compiled
def _keys(distance: float) -> float:
    d = abs(distance)
    if d < 1:
        return (1.5 * d - 2.5) * d * d + 1
    if d < 2:
        return ((-0.5 * d + 2.5) * d - 4) * d + 2
    return 0.0
