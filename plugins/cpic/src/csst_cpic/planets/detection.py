"""Sources that stand out of a residual image more than noise does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.stats import norm

from csst_cpic.planets.aperture_noise import aperture_sums, apertures_used, ratios
from csst_cpic.planets.small_samples import (
    aperture_number,
    equivalent_sigma,
    false_positive_fraction,
)
from csst_cpic.star.sky_frame import central_pixel, to_polar

_MASKED_FWHM: Final = 1.0
"""Radius around a source found in which no other is looked for, nor noise."""


@dataclass(frozen=True)
class Detection:
    """A source in a residual image."""

    row: float
    column: float
    """Array indices from 0."""
    separation_pixel: float
    position_angle_deg: float
    ratio: float
    """Signal over noise (Mawet et al. 2014)."""
    false_positive_fraction: float
    """How often noise gives that ratio in one aperture."""
    significance_sigma: float
    """The Gaussian deviation that is as rare."""


def detect(
    image: NDArray[np.float32],
    level: NDArray[np.float64],
    fwhm_pixel: float,
    significance_sigma: float,
    largest_number: int,
) -> list[Detection]:
    """Return the sources above a significance, the most significant first.

    The best one is masked before the next is looked for: a source makes the noise of its ring
    seem larger.

    Parameters
    ----------
    image
        Residuals, North up; NaN where there is none. The star is on the central pixel.
    level
        What makes the noise of apertures the same around a ring, of
        `csst_cpic.planets.frame_scatter.levels`.
    fwhm_pixel
        Diameter of the apertures.
    significance_sigma
        The threshold is the ratio that is as rare in noise as this deviation of a Gaussian.
    largest_number
        No more are returned.
    """
    image = image.copy()
    y, x = np.indices(image.shape)
    found: list[Detection] = []
    while len(found) < largest_number:
        best = _best(image, level, fwhm_pixel, significance_sigma)
        if best is None:
            break
        found.append(best)
        near = np.hypot(y - best.row, x - best.column) <= _MASKED_FWHM * fwhm_pixel
        image[near] = np.nan
    return found


def resolution_elements(image: NDArray[np.float32], fwhm_pixel: float) -> int:
    """Return how many apertures lie side by side on the rings of an image, one FWHM apart.

    So often could noise be a false positive, to first order: the number expected among them
    is this times the false-positive fraction.
    """
    row, column = central_pixel(image.shape)
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    radius = np.hypot(y - row, x - column)[np.isfinite(aperture_sums(image, fwhm_pixel))]
    if not radius.size:
        return 0
    rings = np.arange(radius.min(), radius.max(), fwhm_pixel)
    enough = apertures_used(rings, fwhm_pixel) >= 3
    return int(aperture_number(rings, fwhm_pixel)[enough].sum())


def _best(
    image: NDArray[np.float32],
    level: NDArray[np.float64],
    fwhm_pixel: float,
    significance_sigma: float,
) -> Detection | None:
    """Return the most significant maximum of an image above the threshold."""
    sums = aperture_sums(image, fwhm_pixel) * level
    rows, columns = np.nonzero(sums > 0)
    ratio, used = ratios(sums, fwhm_pixel, rows.astype(np.float64), columns.astype(np.float64))
    # Where a ring has too few apertures, at the rim, a larger sum must not hide a source.
    filled = np.full(sums.shape, -np.inf)
    tested = np.isfinite(ratio)
    filled[rows[tested], columns[tested]] = sums[rows[tested], columns[tested]]
    peaks = maximum_filter(filled, 2 * round(fwhm_pixel / 2) + 1)[rows, columns]
    kept = tested & (filled[rows, columns] == peaks)
    if not kept.any():
        return None
    rows, columns, ratio, used = rows[kept], columns[kept], ratio[kept], used[kept]
    fraction = false_positive_fraction(ratio, used)
    k = int(np.argmin(fraction))
    if fraction[k] > norm.sf(significance_sigma):
        return None
    row, column = _centre(filled, int(rows[k]), int(columns[k]))
    middle = central_pixel(image.shape)
    separation, angle = to_polar(column - middle[1], row - middle[0])
    return Detection(
        row,
        column,
        float(separation),
        float(angle),
        float(ratio[k]),
        float(fraction[k]),
        float(equivalent_sigma(ratio[k], used[k])),
    )


def _centre(plane: NDArray[np.float64], row: int, column: int) -> tuple[float, float]:
    """Return the maximum of parabolas through a pixel and its neighbours."""
    place = []
    for here, values in (
        (row, plane[row - 1 : row + 2, column]),
        (column, plane[row, column - 1 : column + 2]),
    ):
        shift = 0.0
        if len(values) == 3 and np.isfinite(values).all():
            curvature = values[0] - 2 * values[1] + values[2]
            shift = (values[0] - values[2]) / (2 * curvature) if curvature < 0 else 0.0
        place.append(here + float(shift))
    return place[0], place[1]
