"""Size, ellipticity and centroid of images of a point source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

FWHM_OVER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
MAX_STEPS = 100
TOLERANCE = 1e-6
CENTROID_REACH_FWHM = (2.0, 3.0)
"""The centroid's window is 1 within the first distance and falls to 0 at the second."""


@compiled
def adaptive_moments(stamps: NDArray[np.float32], first_sigma: float) -> NDArray[np.float64]:
    """Measure second moments in an elliptical Gaussian weight matched to each image.

    The weight's centre and covariance are iterated until they are those of the weighted
    image (Bernstein & Jarvis 2002, AJ 123, 583; Hirata & Seljak 2003, MNRAS 343, 459).

    Parameters
    ----------
    stamps
        Images, shape (n, rows, columns).
    first_sigma
        Width to begin with, pixel.

    Returns
    -------
    ndarray
        One row per image: x, y from the middle [pixel], size [pixel, fourth root of the
        determinant of the covariance], ellipticities e1 = (xx - yy) / (xx + yy) and
        e2 = 2 xy / (xx + yy); NaN where it does not converge.
    """
    rows, columns = stamps.shape[1:]
    result = np.full((len(stamps), 5), np.nan)
    for i in range(len(stamps)):
        xx = yy = first_sigma * first_sigma
        xy = cx = cy = 0.0
        for _ in range(MAX_STEPS):
            determinant = xx * yy - xy * xy
            if not determinant > 0.0:
                break
            ixx, iyy, ixy = yy / determinant, xx / determinant, -xy / determinant
            s = sx = sy = sxx = sxy = syy = 0.0
            for row in range(rows):
                dy = row - 0.5 * (rows - 1) - cy
                for column in range(columns):
                    dx = column - 0.5 * (columns - 1) - cx
                    r2 = ixx * dx * dx + 2.0 * ixy * dx * dy + iyy * dy * dy
                    if r2 > 40.0:
                        continue
                    w = np.exp(-0.5 * r2) * stamps[i, row, column]
                    s += w
                    sx += w * dx
                    sy += w * dy
                    sxx += w * dx * dx
                    sxy += w * dx * dy
                    syy += w * dy * dy
            if s <= 0.0:
                break
            mx, my = sx / s, sy / s
            nxx, nxy, nyy = 2.0 * sxx / s, 2.0 * sxy / s, 2.0 * syy / s
            moved = abs(mx) + abs(my) + abs(nxx - xx) + abs(nxy - xy) + abs(nyy - yy)
            cx, cy = cx + 2.0 * mx, cy + 2.0 * my
            xx, xy, yy = nxx, nxy, nyy
            if moved < TOLERANCE * (xx + yy):
                determinant = xx * yy - xy * xy
                if determinant > 0.0:
                    result[i, 0], result[i, 1] = cx, cy
                    result[i, 2] = determinant**0.25
                    result[i, 3] = (xx - yy) / (xx + yy)
                    result[i, 4] = 2.0 * xy / (xx + yy)
                break
    return result


def centroid_window(count: int, step_pixel: float, fwhm_pixel: float) -> NDArray[np.float64]:
    """Return the weight of samples for centroids: 1 inside, smoothly 0 in the wings.

    Parameters
    ----------
    count
        Samples on a side.
    step_pixel
        Their distance.
    fwhm_pixel
        Width of the PSF.
    """
    radius = np.hypot(*offsets(count, step_pixel))
    inner, outer = (reach * fwhm_pixel for reach in CENTROID_REACH_FWHM)
    part = np.clip((radius - inner) / (outer - inner), 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * part))


def offsets(count: int, step_pixel: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the offsets x, y of samples from the source, pixel; shape (count, count)."""
    line = (np.arange(count) - count // 2) * step_pixel
    y, x = np.meshgrid(line, line, indexing="ij")
    return x, y


def half_maximum_width(samples: NDArray[np.float32], step_pixel: float) -> float:
    """Return the full width at half maximum of an oversampled PSF, pixel.

    The diameter of the circle whose area is that above half of the largest sample, the
    profile along the radius being interpolated.
    """
    radius = np.hypot(*offsets(len(samples), step_pixel)).ravel()
    order = np.argsort(radius)
    value = np.asarray(samples, np.float64).ravel()[order]
    peak = value[: max(1, min(5, len(value)))].max()
    rings = np.arange(0.0, radius.max(), step_pixel)
    which = np.digitize(radius[order], rings + 0.5 * step_pixel)
    number = np.bincount(which, minlength=len(rings))[: len(rings)]
    total = np.bincount(which, value, minlength=len(rings))[: len(rings)]
    lever = np.bincount(which, radius[order], minlength=len(rings))[: len(rings)]
    used = number > 0
    profile, mean_radius = total[used] / number[used], lever[used] / number[used]
    below = np.flatnonzero(profile < 0.5 * peak)
    if not len(below) or below[0] == 0:
        return float("nan")
    k = below[0]
    part = (profile[k - 1] - 0.5 * peak) / (profile[k - 1] - profile[k])
    return float(2.0 * (mean_radius[k - 1] + part * (mean_radius[k] - mean_radius[k - 1])))
