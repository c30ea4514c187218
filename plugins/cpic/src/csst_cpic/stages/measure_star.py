"""`measure_star`: the star without coronagraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter, map_coordinates

from csst_cpic.star.star_width import fwhm
from csstcore.api import Image, UnprocessableData, caveat, metric, replace

_FIRST_SMOOTH_PIXEL = 1.5
"""Where the star is looked for, before its width is known."""
_SMOOTH_FWHM = 0.36
_WINDOW_FWHM = 0.48
"""Standard deviation of the window."""
_ITERATIONS = 30
_CORE_FWHM = 0.6
_WIDTH_FROM_PIXEL = 20
"""The width of a star is measured from this much around it."""


def measure_star(
    stars: Sequence[Image],
    *,
    size_pixel: Annotated[int, Field(ge=9)] = 41,
    transmission: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> Annotated[Image, "star"]:
    """Average frames of the star without coronagraph, centred, for contrasts and injection.

    The star is looked for in each frame, its centre measured with a Gaussian window of its width,
    and the frame shifted with a quintic spline. Frames with a flagged pixel in the star's core
    (0.6 FWHM) are left out. The background is zero already.

    Parameters
    ----------
    stars
        Frames of the star beside the coronagraph, or with short exposures.
    size_pixel
        Side of the image, made odd; less where the star is nearer to a border.
    transmission
        Of a neutral-density filter in these frames.

    Returns
    -------
    Image
        The star on the central pixel, per second where the exposure time is known (its mean is
        in ``meta``), with the metrics ``star_fwhm`` (pixels), ``star_flux`` and ``star_frames``.

    Raises
    ------
    UnprocessableData
        If no frame shows a whole, unflagged star.
    """
    places = [_centre(frame) for frame in stars]
    good = [k for k, place in enumerate(places) if place is not None]
    if not good:
        raise UnprocessableData(
            f"none of {len(stars)} frames shows the star without coronagraph, unflagged and whole"
        )
    if len(good) < len(stars):
        caveat(f"{len(stars) - len(good)} of {len(stars)} frames of the star are left out")
    centres = [place for place in places if place is not None]
    half = min(size_pixel // 2, *(_room(stars[k], c) for k, c in zip(good, centres, strict=True)))
    if half < 4:
        raise UnprocessableData("the star without coronagraph is at the border of its frames")
    seconds = [_seconds(stars[k]) for k in good]
    timed = all(second is not None for second in seconds)
    total = np.zeros((2 * half + 1, 2 * half + 1))
    for k, centre in zip(good, centres, strict=True):
        total += _cut(stars[k], centre, half)
    time = sum(second for second in seconds if second is not None) if timed else float(len(good))
    image = (total / (time * transmission)).astype(np.float32)
    metric("star_frames", len(good))
    metric("star_fwhm", fwhm(image))
    metric("star_flux", float(image.sum()))
    first = stars[good[0]]
    unit = first.unit / u.s if timed else first.unit
    meta = replace(first.meta, exposure_time=time / len(good) * u.s if timed else None)
    return replace(first, data=image, unit=unit, variance=None, flags=None, wcs=None, meta=meta)


def _seconds(frame: Image) -> float | None:
    time = frame.meta.exposure_time
    return None if time is None or not time > 0 * u.s else float(time.to_value(u.s))


def _room(frame: Image, centre: tuple[float, float]) -> int:
    """Return how many pixels there are from the star to the nearest border."""
    rows, columns = frame.shape
    y, x = round(centre[0]), round(centre[1])
    return min(y, x, rows - 1 - y, columns - 1 - x)


def _centre(frame: Image) -> tuple[float, float] | None:
    """Return row and column of the star; None if its core is flagged, or there is no star."""
    bad = frame.flagged() | ~np.isfinite(frame.data)
    values = np.where(bad, 0.0, frame.data.astype(np.float64))
    if not values.max() > 0:
        return None
    width = fwhm(_cut(frame, _peak(values, _FIRST_SMOOTH_PIXEL), _WIDTH_FROM_PIXEL))
    if not np.isfinite(width):
        return None
    row, column = _peak(values, _SMOOTH_FWHM * width)
    y, x = np.indices(values.shape)
    sigma = _WINDOW_FWHM * width
    for _ in range(_ITERATIONS):
        window = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2)) * values
        total = window.sum()
        if not total > 0:
            return None
        down = float((window * (y - row)).sum() / total)
        right = float((window * (x - column)).sum() / total)
        row, column = row + 2 * down, column + 2 * right
        if max(abs(down), abs(right)) < 1e-5:
            break
        if not (0 <= row < values.shape[0] and 0 <= column < values.shape[1]):
            return None
    core = np.hypot(y - row, x - column) <= _CORE_FWHM * width
    return None if bad[core].any() else (row, column)


def _peak(values: NDArray[np.float64], smooth_pixel: float) -> tuple[float, float]:
    smooth = gaussian_filter(values, smooth_pixel)
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return float(row), float(column)


def _cut(frame: Image, centre: tuple[float, float], half: int) -> NDArray[np.float64]:
    """Return the frame around the star, shifted so that it is on the central pixel."""
    bad = frame.flagged() | ~np.isfinite(frame.data)
    values = np.where(bad, 0.0, frame.data.astype(np.float64))
    offset = np.arange(-half, half + 1)
    places = np.meshgrid(centre[0] + offset, centre[1] + offset, indexing="ij")
    return np.asarray(map_coordinates(values, places, order=5, mode="nearest"))
