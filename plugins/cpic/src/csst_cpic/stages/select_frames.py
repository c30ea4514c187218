"""`select_frames`: frames that are not like the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_cpic.camera.frame_key import rows_of
from csstcore.api import Image, Table, UnprocessableData, caveat, metric

_MAD_TO_SIGMA = 1.4826
_LEAST_FRAMES = 5
"""With fewer, none stands out of the others."""
_FLOOR_RELATIVE = 0.02
_FLOOR_PIXEL = 0.1
"""Scatter below this is not told apart: frames so alike are all good."""


def select_frames(
    frames: Sequence[Image],
    centres: Table,
    *,
    inner_radius_pixel: Annotated[float, Field(ge=0)] = 0.0,
    outer_radius_pixel: Annotated[float, Field(gt=0)],
    clip_sigma: Annotated[float, Field(gt=0)] = 6.0,
) -> Annotated[Sequence[Image | None], "frames"]:
    """Leave out frames whose star is lost, displaced, faint or bright, or whose halo is bright.

    Compared are, with the median of all frames and their scatter from the median absolute
    deviation: the light per second between two radii from the star, the part of it that is
    not smooth (the median absolute difference from its own median), and, among the frames of
    one observation, the place of the star.

    Parameters
    ----------
    frames, centres
        Frames, and the star in each.
    inner_radius_pixel, outer_radius_pixel
        Ring whose light is compared.
    clip_sigma
        Frames further off than this are left out.

    Returns
    -------
    Sequence
        The frames, None for those left out. Metric ``frames_rejected``.

    Raises
    ------
    UnprocessableData
        If no frame is left.
    """
    rows = rows_of(frames, centres, "centres")
    x = centres.table["x"].to_value(u.pix)[rows] - 1
    y = centres.table["y"].to_value(u.pix)[rows] - 1
    causes = [[] if np.isfinite(x[k] + y[k]) else ["no star"] for k in range(len(frames))]
    ring = [
        _ring_light(frame, y[k], x[k], inner_radius_pixel, outer_radius_pixel)
        for k, frame in enumerate(frames)
    ]
    light, halo = np.array(ring).T
    groups = np.array([frame.meta.obs_id or "" for frame in frames])
    _mark(causes, "its light", light, _FLOOR_RELATIVE * abs(_median(light)), clip_sigma)
    upward = np.maximum(halo, _median(halo))
    _mark(causes, "its halo", upward, _FLOOR_RELATIVE * _median(halo), clip_sigma)
    for group in np.unique(groups):
        inside = groups == group
        for values in (x, y):
            place = np.where(inside, values, np.nan)
            _mark(causes, "its place", place, _FLOOR_PIXEL, clip_sigma)
    kept = [None if why else frame for frame, why in zip(frames, causes, strict=True)]
    rejected = [(k, why) for k, why in enumerate(causes) if why]
    metric("frames_rejected", len(rejected))
    if len(rejected) == len(frames):
        raise UnprocessableData(f"none of {len(frames)} frames is usable: {causes[0][0]}")
    if rejected:
        told = ", ".join(f"{_name(frames, k)} ({why[0]})" for k, why in rejected[:5])
        caveat(f"{len(rejected)} of {len(frames)} frames are left out, by number: {told}")
    return kept


def _name(frames: Sequence[Image], place: int) -> str:
    """Return the number of a frame in its observation, which is named if there are several."""
    meta = frames[place].meta
    number = place if meta.frame is None else meta.frame
    alone = len({frame.meta.obs_id for frame in frames}) == 1
    return f"{number}" if alone else f"{number} of {meta.obs_id}"


def _ring_light(
    frame: Image, row: float, column: float, inner: float, outer: float
) -> tuple[float, float]:
    """Return mean and scatter of the light per second in a ring about the star."""
    if not np.isfinite(row + column):
        return np.nan, np.nan
    top, left = max(int(row - outer), 0), max(int(column - outer), 0)
    window = (slice(top, int(row + outer) + 2), slice(left, int(column + outer) + 2))
    values = frame.data[window]
    y, x = np.indices(values.shape)
    radius = np.hypot(y + top - row, x + left - column)
    use = np.isfinite(values) & ~frame.flagged()[window] & (radius >= inner) & (radius < outer)
    if not use.any():
        return np.nan, np.nan
    time = frame.meta.exposure_time
    seconds = float(time.to_value(u.s)) if time is not None and time > 0 * u.s else 1.0
    chosen = values[use].astype(np.float64) / seconds
    return float(chosen.mean()), float(np.median(np.abs(chosen - np.median(chosen))))


def _mark(
    causes: list[list[str]], what: str, values: NDArray[np.float64], floor: float, clip: float
) -> None:
    """Add a cause to frames whose value stands out of the others."""
    good = np.isfinite(values)
    if np.count_nonzero(good) < _LEAST_FRAMES:
        return
    middle = _median(values)
    sigma = max(_MAD_TO_SIGMA * _median(np.abs(values - middle)), floor)
    for k in np.flatnonzero(good & (np.abs(values - middle) > clip * sigma)):
        off = (values[k] - middle) / sigma if sigma > 0 else np.inf
        causes[k].append(f"{what}: {off:+.1f} sigma")


def _median(values: NDArray[np.float64]) -> float:
    good = values[np.isfinite(values)]
    return float(np.median(good)) if len(good) else float("nan")
