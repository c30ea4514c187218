"""From a line in the binned frame to a trail: place, bend, width, ends; or that it is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from csst_calib.satellite_trails.between_sources import is_seen_between_sources
from csst_calib.satellite_trails.binned import Binned
from csst_calib.satellite_trails.profile import Profiles, profiles
from csst_calib.satellite_trails.trail import Path, Trail

Floats = NDArray[np.float64]

_SCALES_PIXEL = (1.0, 1.5, 2.5, 4.0, 6.0, 10.0, 16.0, 25.0, 40.0)
"""Standard deviations of the Gaussians with which a profile is compared."""
_CLEAR = 4.0
"""Signal over noise from which a piece shows the trail by itself."""
_LEAST_MEDIAN = 5.0
"""Signal over noise of the whole, judged by the median piece: bright galaxies make no trail."""
_LEAST_CLEAR, _LEAST_CLEAR_FRACTION = 6, 0.4
"""Number and part of the pieces that are enough where they show the trail by themselves, as
those of tumbling satellites do."""
_MASK_NOISE = 0.1
"""The mask ends where the trail is below this part of a pixel's noise."""
_LEAST_HEIGHT, _LEAST_HEIGHT_ALONG_AXES = 0.07, 0.35
"""Least height of a trail in units of a pixel's noise; higher where it runs along rows or
columns, as the drift and pattern of the bias do."""
_ALONG_AXIS = 0.006
"""Sine of the angle to rows or columns below which a trail runs along them."""


def refine(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    unusable: np.uint16,
    binned: Binned,
    path: Path,
    width_pixel: float,
    limit: float,
    shortest_pixel: float,
) -> Trail | None:
    """Return the trail along a path, or None if the light there is none.

    The profile across the path is followed in pieces: shift, tilt and bend that make the sum
    sharpest, then a parabola through the pieces that show the trail by themselves. A trail
    must be seen in the median piece, or in a quarter of the pieces clearly; all pieces share
    one middle and one width, which stars, galaxies and cosmic rays do not. It must be seen
    between the sources, too.
    """
    reach = int(30 + 2 * width_pixel)
    found = profiles(data, flags, unusable, binned, path, reach)
    path = _straighten(path, found, width_pixel)
    found = profiles(data, flags, unusable, binned, path, reach)
    if not _may_be(found):
        return None
    path = _follow(path, found)
    found = profiles(data, flags, unusable, binned, path, reach)
    centre, sigma = _best(_stack(found, slice(None)), found.reach)
    if abs(centre) > width_pixel:
        return None
    amplitude, error = _amplitudes(found, centre, sigma)
    run = _run(amplitude / error)
    if run is None:
        return None
    own = _peaks_here(found, centre, sigma)
    significance = _significance(amplitude[run] / error[run], own[run])
    start, end = _ends(path, found, run)
    along_axis = min(abs(path.ux), abs(path.uy)) < _ALONG_AXIS
    least = _LEAST_HEIGHT_ALONG_AXES if along_axis else _LEAST_HEIGHT
    height = float(np.nanmean(amplitude[run]))
    if significance < limit or height < least or not _is_long(path, start, end, shortest_pixel):
        return None
    shape = (centre, sigma)
    if not is_seen_between_sources(
        data, flags, unusable, binned, path, found, (start, end), shape, height
    ):
        return None
    bend = (path.bend[0] + centre, path.bend[1], path.bend[2])
    half_width = _half_width(found, run, amplitude, centre, sigma)
    return Trail(replace(path, bend=bend), start, end, half_width, significance)


def _significance(z: Floats, own: NDArray[np.bool_]) -> float:
    """Return the signal over noise of the whole; 0 unless enough pieces show the trail.

    Parameters
    ----------
    z
        Signal over noise of the pieces.
    own
        Whether the highest light of a piece is where the trail should be.
    """
    known = np.isfinite(z)
    z, own = z[known], own[known]
    if z.size == 0:
        return 0.0
    middle = float(np.median(z))
    scatter = max(1.0, 1.4826 * float(np.median(np.abs(z - middle))))  # sources add to the noise
    by_median = middle * np.sqrt(z.size) / (1.2533 * scatter)
    clear = np.count_nonzero((z > _CLEAR) & own)
    if by_median < _LEAST_MEDIAN and clear < max(_LEAST_CLEAR, _LEAST_CLEAR_FRACTION * z.size):
        return 0.0
    return float(z.sum() / np.sqrt(z.size))


def _may_be(found: Profiles) -> bool:
    """Return whether the pieces show light together, before the path is followed."""
    amplitude, error = _amplitudes(found, *_best(_stack(found, slice(None)), found.reach))
    z = (amplitude / error)[np.isfinite(amplitude)]
    return bool(z.size and (np.median(z) * np.sqrt(z.size) > 2.0 or np.sum(z > _CLEAR) >= 4))


def _is_long(path: Path, start: float, end: float, shortest_pixel: float) -> bool:
    """Return whether a trail is long enough for where it ends.

    A satellite crosses the frame, unless the exposure begins or ends meanwhile; edge-on
    galaxies and bled columns have both ends in it.
    """
    inside = int(start > -path.half_length) + int(end < path.half_length)
    least = (0.0, 0.2, 0.5)[inside] * 2 * path.half_length
    return end - start >= max(least, shortest_pixel)


def _straighten(path: Path, found: Profiles, width: float) -> Path:
    """Return the path with the shift, tilt and bend at which the sum of pieces is highest."""
    value = _smooth(np.nan_to_num(np.clip(found.value, -3, 3)), max(1.0, width / 6))
    pieces = len(value)
    s = found.middle / path.half_length
    row = np.arange(pieces)
    step = max(1, int(width / 12))
    most, best = -np.inf, (0.0, 0.0, 0.0)
    tilts = np.arange(-width, width + 1, step)
    bends = np.arange(-width, width + 1, 2 * step)
    shifts = np.arange(-int(width), int(width) + 1)
    weight = np.where(np.isfinite(found.error[:, found.reach]), 1.0, 0.0)
    for tilt in tilts:
        for bend in bends:
            offset = np.rint(tilt * s + bend * (s * s - 1 / 3)).astype(int)
            columns = np.clip(found.reach + offset[:, None] + shifts, 0, value.shape[1] - 1)
            total = weight @ value[row[:, None], columns]
            k = int(np.argmax(total))
            if total[k] > most:
                most, best = total[k], (shifts[k] - bend / 3, tilt, bend)
    return replace(path, bend=best)


def _follow(path: Path, found: Profiles) -> Path:
    """Return the path with a parabola through the pieces that show the trail by themselves."""
    centre, sigma = _best(_stack(found, slice(None)), found.reach)
    near = int(np.ceil(3 + 2 * sigma))
    places, middles, weights = [], [], []
    smoothed = _smooth(np.nan_to_num(found.value), sigma)
    low = max(0, round(found.reach + centre) - near)
    high = min(smoothed.shape[1], round(found.reach + centre) + near + 1)
    noise = found.error[:, found.reach] / np.sqrt(2 * np.sqrt(np.pi) * sigma)
    for piece, line in enumerate(smoothed):
        part = line[low:high]
        peak = int(np.argmax(part))
        z = part[peak] / noise[piece] if np.isfinite(noise[piece]) else 0.0
        if z > 2 * _CLEAR and 0 < peak < len(part) - 1:
            a, b, c = part[peak - 1 : peak + 2]
            shift = 0.5 * (a - c) / (a - 2 * b + c) if a - 2 * b + c < 0 else 0.0
            places.append(found.middle[piece] / path.half_length)
            middles.append(low + peak + shift - found.reach)
            weights.append(min(z, 100.0))
    if len(places) < 6 or np.ptp(places) < 0.5:
        return path
    for _ in range(2):
        terms = np.polyfit(places, middles, 2, w=weights)
        left = np.abs(np.polyval(terms, places) - middles)
        good = left <= max(1.0, 3 * 1.4826 * float(np.median(left)))
        if good.all() or good.sum() < 6:
            break
        places, middles, weights = (
            list(np.asarray(column)[good]) for column in (places, middles, weights)
        )
    c2, c1, c0 = terms
    bend = tuple(old + new for old, new in zip(path.bend, (c0, c1, c2), strict=True))
    return replace(path, bend=bend)


def _stack(found: Profiles, pieces: slice) -> tuple[Floats, Floats]:
    """Return the mean profile of pieces, outliers cut, and its error."""
    value, error = found.value[pieces], found.error[pieces]
    known = np.isfinite(value)
    count = np.maximum(known.sum(axis=0), 1)
    middle = np.array(
        [np.median(v[k]) if k.any() else 0.0 for v, k in zip(value.T, known.T, strict=True)]
    )
    scatter = 1.4826 * np.array(
        [
            np.median(np.abs(v[k] - m)) if k.any() else 0.0
            for v, k, m in zip(value.T, known.T, middle, strict=True)
        ]
    )
    cut = np.clip(np.where(known, value, middle), middle - 3 * scatter, middle + 3 * scatter)
    mean = np.where(known, cut, 0.0).sum(axis=0) / count
    noise = np.sqrt(np.where(known, error, 0.0) ** 2).sum(axis=0) / count / np.sqrt(count)
    return mean, np.where(known.any(axis=0), noise, np.inf)


def _best(stack: tuple[Floats, Floats], reach: int) -> tuple[float, float]:
    """Return middle and width of the Gaussian that the profile resembles most."""
    mean, noise = stack
    highest, result = -np.inf, (0.0, _SCALES_PIXEL[0])
    typical = float(np.median(noise[np.isfinite(noise)])) if np.isfinite(noise).any() else 1.0
    for sigma in _SCALES_PIXEL:
        if 3 * sigma > reach:
            break
        z = _smooth(mean[None], sigma)[0] * np.sqrt(2 * np.sqrt(np.pi) * sigma) / typical
        part = z[reach // 3 : len(z) - reach // 3]
        k = int(np.argmax(part))
        if part[k] > highest:
            highest, result = part[k], (float(k + reach // 3 - reach), sigma)
    return result


def _smooth(value: Floats, sigma: float) -> Floats:
    """Return rows convolved with a Gaussian of unit sum."""
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.array([np.convolve(row, kernel, mode="same")[: value.shape[1]] for row in value])


def _amplitudes(found: Profiles, centre: float, sigma: float) -> tuple[Floats, Floats]:
    """Return height of the Gaussian and its error in each piece; NaN and 1 where unknown."""
    offset = np.arange(-found.reach, found.reach + 1) - centre
    shape = np.exp(-0.5 * (offset / sigma) ** 2)
    near = np.abs(offset) <= 3 * sigma
    known = np.isfinite(found.value) & near
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(known, shape / found.error**2, 0.0)
        norm = (weight * shape).sum(axis=1)
        amplitude = (weight * np.nan_to_num(found.value)).sum(axis=1) / norm
    enough = known.sum(axis=1) >= 0.5 * near.sum()
    return np.where(enough, amplitude, np.nan), np.where(
        enough, 1 / np.sqrt(np.maximum(norm, 1e-9)), 1.0
    )


def _peaks_here(found: Profiles, centre: float, sigma: float) -> NDArray[np.bool_]:
    """Return whether the smoothed profile of each piece is highest near the middle."""
    smoothed = _smooth(np.nan_to_num(found.value), sigma)
    place = np.argmax(smoothed, axis=1) - found.reach
    return np.asarray(np.abs(place - centre) <= 2.0 + sigma)


def _run(z: Floats) -> slice | None:
    """Return the pieces from the first to the last that belong to the trail.

    The run with the highest sum of signal less half of the typical signal.
    """
    known = np.isfinite(z)
    if not known.any():
        return None
    typical = float(np.mean(np.sort(z[known])[z[known].size // 2 :]))
    if typical <= 0:
        return None
    gain = np.where(known, np.minimum(np.nan_to_num(z), 2 * typical) - typical / 3, 0.0)
    best, total, first, result = 0.0, 0.0, 0, None
    for k, value in enumerate(gain):
        if total <= 0:
            total, first = 0.0, k
        total += value
        if total > best:
            best, result = total, slice(first, k + 1)
    return result


def _ends(path: Path, found: Profiles, run: slice) -> tuple[float, float]:
    """Return where the trail starts and ends: at the edge, or half a piece beyond the run."""
    half = 0.5 * found.piece
    start = found.middle[run.start] - 2 * half
    end = found.middle[run.stop - 1] + 2 * half
    low = -path.half_length if run.start <= 1 else start
    high = path.half_length if run.stop >= len(found.middle) - 1 else end
    return float(max(low, -path.half_length)), float(min(high, path.half_length))


def _half_width(
    found: Profiles, run: slice, amplitude: Floats, centre: float, sigma: float
) -> float:
    """Return how far from its middle the trail is above a tenth of a pixel's noise."""
    mean, noise = _stack(found, run)
    smoothed = _smooth(mean[None], max(0.7, sigma / 3))[0]
    heights = amplitude[run][np.isfinite(amplitude[run])]
    bright = float(np.percentile(heights, 90)) / max(float(np.mean(heights)), 1e-9)
    limit = np.maximum(_MASK_NOISE / max(bright, 1.0), 2 * noise / np.sqrt(max(1.0, sigma)))
    middle = found.reach + round(centre)
    reach = 0
    for direction in (-1, 1):
        step = 0
        while 0 <= middle + direction * (step + 1) < len(smoothed):
            place = middle + direction * (step + 1)
            if not smoothed[place] > limit[place]:
                break
            step += 1
        reach = max(reach, step)
    return float(max(reach + 1, np.ceil(1.5 * sigma) + 1))
