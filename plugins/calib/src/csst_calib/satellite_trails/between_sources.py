"""Whether a trail is seen between the sources that lie along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, maximum_filter1d

from csst_calib.satellite_trails.binned import Binned
from csst_calib.satellite_trails.profile import Profiles
from csst_calib.satellite_trails.trail import Path

Floats = NDArray[np.float64]
Strip = NDArray[np.float32]

_SEGMENTS = 8
_LEAST_SIGNIFICANCE = 4.0
"""Of the median segment, as if all were like it."""
_LEAST_POSITIVE = 0.75
"""Part of the segments that must be brighter than the sky beside."""
_LEAST_SHARE = 0.5
"""Of the height that medians of pieces give, which holds wings of sources."""
_LEAST_SEGMENTS = 4
"""Fewer that have pixels between sources show nothing."""
_LEAST_PIXELS = 0.1
"""Part of a segment that must be between sources."""
_CORE_SIGMA, _CORE_OVER_TRAIL = 5.0, 3.0
"""A pixel of a source is higher than the first plus the second times the trail's profile."""
_WING_PIXEL, _WING_EXPONENT = 4.0, 0.4
"""Sources are masked as far as 4 pixels + (height in sigma)^0.4, where wings that fall with the
2.5th power of the distance reach one sigma."""
_HEIGHTS_SIGMA = (5.0, 30.0, 200.0, 1000.0, 5000.0)


def is_seen_between_sources(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    unusable: np.uint16,
    binned: Binned,
    path: Path,
    found: Profiles,
    ends: tuple[float, float],
    shape: tuple[float, float],
    height: float,
) -> bool:
    """Return whether the light along a path is there where no source is.

    Medians of pieces pass over few sources, but chance alignments of bright stars in small or
    crowded frames cover most of a piece with their wings. Pixels that stand out of the profile
    of their piece, and what is about them, are left out; the rest is measured in segments.

    Parameters
    ----------
    data, flags, unusable, binned
        Frame, and what of it is left out.
    path, found
        Path, and the profiles across it.
    ends
        Where the light starts and ends along the path.
    shape
        Middle and standard deviation of the Gaussian across, in pixels.
    height
        Of the Gaussian with sources, in units of a pixel's noise.
    """
    t = np.arange(*ends)
    strip = _strip(data, flags, unusable, binned, path, t, found.reach)
    piece = np.clip(np.searchsorted(found.middle, t - 0.5 * found.piece), 0, len(found.middle) - 1)
    _mask_sources(strip, np.nan_to_num(found.value).astype(np.float32), piece)
    parts = np.array_split(strip, _SEGMENTS)
    total, norm, noise = np.array([_sums(part, *shape) for part in parts]).T
    known = norm > 0
    if known.sum() < _LEAST_SEGMENTS:
        return False
    z = total[known] / (noise[known] * np.sqrt(norm[known]))
    by_median = float(np.median(z)) * np.sqrt(z.size) / 1.2533
    return bool(
        by_median >= _LEAST_SIGNIFICANCE
        and np.mean(z > 0) >= _LEAST_POSITIVE
        and total.sum() / norm.sum() >= _LEAST_SHARE * height
    )


def _strip(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    unusable: np.uint16,
    binned: Binned,
    path: Path,
    t: Floats,
    reach: int,
) -> Strip:
    """Return the pixels along and across a path in units of the noise; NaN where unusable."""
    x, y = path.points(t)
    offset = np.arange(-reach, reach + 1)
    column = np.floor(x[:, None] - path.uy * offset + 0.5).astype(np.int32)
    row = np.floor(y[:, None] + path.ux * offset + 0.5).astype(np.int32)
    rows, columns = data.shape
    inside = (row >= 0) & (column >= 0) & (row < rows) & (column < columns)
    row[~inside] = column[~inside] = 0
    sky = binned.sky[row // binned.size, column // binned.size]
    value = (data[row, column] - sky) / np.float32(binned.noise)
    value[~inside | ((flags[row, column] & unusable) != 0)] = np.nan
    return value


def _mask_sources(strip: Strip, profile: Strip, piece: NDArray[np.int64]) -> None:
    """Set pixels of sources and of their wings to NaN, in place."""
    trail = maximum_filter(profile, size=(1, 5))[piece]
    core = np.nan_to_num(strip, nan=-np.inf)
    core[core <= _CORE_SIGMA + _CORE_OVER_TRAIL * np.maximum(trail, 0)] = -np.inf
    masked = np.zeros(strip.shape, np.uint8)
    for height in _HEIGHTS_SIGMA:
        about = (core > height).astype(np.uint8)
        if not about.any():
            break
        size = 2 * int(np.ceil(_WING_PIXEL + height**_WING_EXPONENT)) + 1
        for axis in (0, 1):
            about = maximum_filter1d(about, size, axis=axis, mode="constant")
        masked |= about
    strip[masked > 0] = np.nan


def _sums(part: Strip, centre: float, sigma: float) -> tuple[float, float, float]:
    """Return sums of light times shape and of shape squared in a segment, and a pixel's noise.

    The sums are 0 where too little of it is between sources.
    """
    reach = part.shape[1] // 2
    offset = np.arange(-reach, reach + 1) - centre
    away = np.abs(offset)
    beside = part[:, away > max(4 * sigma, reach / 2)]
    beside = beside[np.isfinite(beside)]
    near = away <= 3 * sigma
    values = part[:, near]
    known = np.isfinite(values)
    if beside.size < 2 * len(part) or known.mean() < _LEAST_PIXELS:
        return 0.0, 0.0, 1.0
    level = float(np.median(beside))
    scatter = max(1.0, 1.4826 * float(np.median(np.abs(beside - level))))
    weight = np.where(known, np.exp(-0.5 * (offset[near] / sigma) ** 2), 0.0)
    total = float(np.sum(weight * np.where(known, values - level, 0.0)))
    return total, float(np.sum(weight**2)), scatter
