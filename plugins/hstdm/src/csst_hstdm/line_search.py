"""Lines in a spectrum: matched filters of many widths, and Gaussians fitted to what they find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.signal import oaconvolve

from csst_hstdm.scatter import scatter_about_zero

FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
_WIDTH_STEP = 1.4
_FIT_RANGE = 3.0
"""Fits reach this many widths (full, at half maximum) to either side."""
_PART = 0.05
"""Of the band: a line that is wider is in most of the medians of its width."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Where a matched filter stands out."""

    channel: float
    fwhm_channel: float
    peak: float
    significance: float


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A fitted line: peak, centre and full width at half maximum in channels, and covariance."""

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    chi_square: float
    """Reduced."""


def search(
    flux: NDArray[np.float64],
    variance: NDArray[np.float64],
    *,
    threshold: float,
    narrowest_channel: float,
    widest_channel: float,
    most: int,
) -> list[Peak]:
    """Return the lines of a spectrum, the most significant first.

    A Gaussian of each width is compared with the spectrum at each channel, weighted with
    1 / variance; the most significant one is taken away, and so on. The noise of each width is
    at least that of the medians of the filtered spectrum (for wide ones filtered to a twentieth
    of the band), so that an imperfect baseline makes no lines.

    Parameters
    ----------
    flux, variance
        Of the spectrum; NaN does not count.
    threshold
        Least significance of a line, either sign.
    narrowest_channel, widest_channel
        Full widths at half maximum that are tried, a factor 1.4 apart.
    most
        Largest number of lines.
    """
    good = np.isfinite(flux) & np.isfinite(variance) & (variance > 0)
    weight = np.where(good, 1 / np.where(good, variance, 1.0), 0.0)
    rest = np.where(good, flux, 0.0)
    count = int(np.ceil(np.log(max(widest_channel / narrowest_channel, 1)) / np.log(_WIDTH_STEP)))
    widths = narrowest_channel * _WIDTH_STEP ** np.arange(count + 1)
    scales = [_scale(rest, weight, min(width, _PART * len(rest))) for width in widths]
    found: list[Peak] = []
    while len(found) < most:
        best = Peak(0.0, 1.0, 0.0, 0.0)
        for width, scale in zip(widths, scales, strict=True):
            significance, peak = _matched(rest, weight, width)
            at = int(np.argmax(np.abs(significance)))
            if abs(significance[at]) / scale > abs(best.significance):
                best = Peak(float(at), width, float(peak[at]), float(significance[at] / scale))
        if abs(best.significance) < threshold:
            break
        found.append(best)
        channels = np.arange(len(rest), dtype=float)
        near = np.abs(channels - best.channel) < _FIT_RANGE * best.fwhm_channel
        line = fit_gaussian(channels[near], rest[near], weight[near], best)
        if line is None:
            rest = np.where(near, 0.0, rest)
        else:
            rest = rest - np.where(good, gaussian(line.values, channels), 0.0)
            close = np.abs(channels - line.values[1]) < line.values[2] / 2
            weight = np.where(close, 0.0, weight)  # what the fit leaves is no further line
    return found


def gaussian(values: NDArray[np.float64], channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a line of a peak, centre and full width at half maximum."""
    sigma = values[2] * FWHM_TO_SIGMA
    return np.asarray(values[0] * np.exp(-0.5 * ((channel - values[1]) / sigma) ** 2))


def derivatives(values: NDArray[np.float64], channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivatives of a line by peak, centre and width, shape (channels, 3)."""
    shape = gaussian(np.array([1.0, *values[1:]]), channel)
    offset = (channel - values[1]) / (values[2] * FWHM_TO_SIGMA)
    slope = values[0] * shape * offset / (values[2] * FWHM_TO_SIGMA)
    return np.stack([shape, slope, values[0] * shape * offset**2 / values[2]], axis=1)


def fit_gaussian(
    channel: NDArray[np.float64],
    flux: NDArray[np.float64],
    weight: NDArray[np.float64],
    start: Peak,
) -> Gaussian | None:
    """Return the Gaussian that fits best, or None if the fit makes no sense.

    Parameters
    ----------
    channel, flux, weight
        Samples and 1 / variance; those of weight 0 do not count.
    start
        Where to begin.
    """
    used = weight > 0
    if np.count_nonzero(used) < 5:
        return None
    x, y, root = channel[used].astype(float), flux[used], np.sqrt(weight[used])
    first = np.array([start.peak, start.channel, start.fwhm_channel])
    low = np.array([-np.inf, x.min() - 1, 0.3])
    high = np.array([np.inf, x.max() + 1, 4 * start.fwhm_channel + 4])
    fit = least_squares(
        lambda values: (gaussian(values, x) - y) * root,
        np.clip(first, low + 1e-6, high - 1e-6),
        bounds=(low, high),
        x_scale=[max(abs(start.peak), 1e-9), start.fwhm_channel, start.fwhm_channel],
    )
    normal = fit.jac.T @ fit.jac
    if not fit.success or np.linalg.cond(normal) > 1e16 or np.any(fit.active_mask):
        return None
    return Gaussian(fit.x, np.linalg.inv(normal), float(2 * fit.cost / max(len(x) - 3, 1)))


def _matched(
    flux: NDArray[np.float64], weight: NDArray[np.float64], width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return significance and peak of a Gaussian centred on each channel."""
    half = max(min(int(np.ceil(1.5 * width)), (len(flux) - 1) // 2), 1)
    shape = gaussian(np.array([1.0, 0.0, width]), np.arange(-half, half + 1.0))
    numerator = oaconvolve(flux * weight, shape, mode="same")
    norm = np.maximum(oaconvolve(weight, shape**2, mode="same"), 0.0)
    enough = norm > 0.25 * np.median(weight) * np.sum(shape**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = np.where(enough, numerator / np.sqrt(norm), 0.0)
        return significance, np.where(enough, numerator / norm, 0.0)


def _scale(flux: NDArray[np.float64], weight: NDArray[np.float64], width: float) -> float:
    """Return the noise of the significances, 1 or more."""
    significance = np.abs(_matched(flux, weight, width)[0])
    inside = significance[significance > 0]
    return max(scatter_about_zero(inside), 1.0) if len(inside) else 1.0
