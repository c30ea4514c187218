"""`register_frames`: a cube with the star on its central pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter

from csst_cpic.camera.frame_key import key_columns, rows_of
from csst_cpic.star.spline import interpolate, interpolate_linear
from csstcore.api import (
    Cube,
    Image,
    Table,
    UnprocessableData,
    common_meta,
    each,
    metric,
    replace,
)

_REPAIR_PIXEL = 1.0
"""Width (standard deviation) over which flagged pixels are filled before interpolation."""

Planes = tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.uint16]]


def register_frames(
    frames: Sequence[Image],
    centres: Table,
    *,
    size_pixel: Annotated[int, Field(ge=9)] | None = None,
) -> tuple[Annotated[Cube, "cube"], Annotated[Table, "frames"]]:
    """Shift frames so that the star is on the central pixel of a cube.

    Each frame is interpolated once, with a quintic spline, which keeps the flux. Pixels of the
    cube next to a flagged one have its flags and the value NaN. The variance is interpolated
    linearly: that of an aperture stays what it was.

    Parameters
    ----------
    frames
        Of one shape and unit.
    centres
        The star in each.
    size_pixel
        Side of the cube, made odd; the largest that no star's distance from the border cuts
        if None. Beyond the border values are NaN, flagged ``bad``.

    Returns
    -------
    cube
        Shape (frames, size, size).
    frames
        A row for each plane: plane, obs_id, frame, position_angle (of +y), exposure_time,
        time, weight (exposure over the mean exposure), x and y of the star in its frame.

    Raises
    ------
    UnprocessableData
        If frames differ in shape or unit, or a star lies outside of its frame.
    """
    _require_alike(frames)
    rows = rows_of(frames, centres, "centres")
    x = centres.table["x"].to_value(u.pix)[rows] - 1
    y = centres.table["y"].to_value(u.pix)[rows] - 1
    room = _room(frames[0].shape, x, y)
    half = int(np.floor(room.min())) if size_pixel is None else size_pixel // 2
    if room.min() < 0 or half < 1:
        worst = int(np.argmin(room))
        raise UnprocessableData(
            f"the star of frame {worst} is at x = {x[worst] + 1:.1f}, y = {y[worst] + 1:.1f}, "
            f"at or beyond the border of {frames[0].shape[1]} x {frames[0].shape[0]} pixels"
        )

    def shift(number: int) -> Planes:
        return _shifted(frames[number], y[number], x[number], half)

    planes = each(shift, range(len(frames)))
    with_variance = all(plane[1] is not None for plane in planes)
    variances = [plane[1] for plane in planes if plane[1] is not None]
    meta = replace(common_meta([frame.meta for frame in frames]), obs_id=frames[0].meta.obs_id)
    cube = Cube(
        np.stack([plane[0] for plane in planes]),
        frames[0].unit,
        np.stack(variances) if with_variance else None,
        np.stack([plane[2] for plane in planes]),
        meta=meta,
        flag_bits=frames[0].flag_bits,
    )
    metric("frames", len(frames))
    metric("registered_flagged_fraction", float(np.mean(cube.flags != 0)))
    return cube, Table(_frame_table(frames, x, y), meta)


def _require_alike(frames: Sequence[Image]) -> None:
    for what in ("shape", "unit"):
        found = {getattr(frame, what) for frame in frames}
        if len(found) > 1:
            told = ", ".join(sorted(str(each) for each in found))
            raise UnprocessableData(f"the frames differ in {what}: {told}")


def _room(
    shape: tuple[int, int], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of each star from the nearest border; negative if it has none."""
    room = np.min([x, y, shape[1] - 1 - x, shape[0] - 1 - y], axis=0)
    return np.where(np.isfinite(room), room, -1.0)


def _shifted(frame: Image, row: float, column: float, half: int) -> Planes:
    """Return the values, variance and flags about a star."""
    offset = np.arange(-half, half + 1, dtype=np.float64)
    rows, columns = (np.array(g) for g in np.meshgrid(row + offset, column + offset, indexing="ij"))
    margin = half + 20
    top, left = max(round(row) - margin, 0), max(round(column) - margin, 0)
    window = (slice(top, round(row) + margin + 1), slice(left, round(column) + margin + 1))
    data = frame.data[window].astype(np.float32)
    flags = np.zeros(data.shape, np.uint16) if frame.flags is None else frame.flags[window].copy()
    flags[~np.isfinite(data)] |= frame.bit("bad")
    valid = flags == 0
    rows, columns = rows - top, columns - left
    values = interpolate(_repaired(data, valid), np.ones_like(valid), rows, columns)
    near = _flags_near(flags, rows, columns, frame.bit("bad"))
    values[near != 0] = np.nan
    variance = None
    if frame.variance is not None:
        noise = np.where(valid, frame.variance[window], np.float32(np.nan))
        variance = interpolate_linear(noise, rows, columns)
        variance[near != 0] = np.nan
    return values, variance, near


def _repaired(data: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a plane with its flagged pixels filled from around, so that splines do not ring."""
    if valid.all():
        return data
    weight = gaussian_filter(valid.astype(np.float32), _REPAIR_PIXEL)
    smooth = gaussian_filter(np.where(valid, data, np.float32(0)), _REPAIR_PIXEL)
    level = np.float32(np.median(data[valid])) if valid.any() else np.float32(0)
    around = np.full_like(data, level)
    np.divide(smooth, weight, out=around, where=weight > 1e-3)
    return np.where(valid, data, around)


def _flags_near(
    flags: NDArray[np.uint16],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    outside: np.uint16,
) -> NDArray[np.uint16]:
    """Return the flags of the pixels around each place; `outside` beyond the border."""
    height, width = flags.shape
    beyond = (rows < 0) | (rows > height - 1) | (columns < 0) | (columns > width - 1)
    row = np.clip(np.floor(rows).astype(np.intp), 0, height - 1)
    column = np.clip(np.floor(columns).astype(np.intp), 0, width - 1)
    below = np.minimum(row + (rows > row), height - 1)
    right = np.minimum(column + (columns > column), width - 1)
    near = flags[row, column] | flags[below, column] | flags[row, right] | flags[below, right]
    return np.where(beyond, outside, near).astype(np.uint16)


def _frame_table(frames: Sequence[Image], x: NDArray[np.float64], y: NDArray[np.float64]) -> QTable:
    """Return what is known of each plane of the cube."""
    table = key_columns(frames)
    table.add_column(np.arange(len(frames), dtype=np.int32), name="plane", index=0)
    metas = [frame.meta for frame in frames]
    angles = [m.position_angle for m in metas]
    seconds = [m.exposure_time for m in metas]
    table["position_angle"] = _numbers(angles, u.deg)
    table["exposure_time"] = _numbers(seconds, u.s)
    times = [m.time for m in metas if m.time is not None]
    if len(times) == len(metas):
        table["time"] = Time(times)
    exposure = table["exposure_time"].to_value(u.s)
    known = np.isfinite(exposure).all() and exposure.mean() > 0
    table["weight"] = exposure / exposure.mean() if known else np.ones(len(frames))
    table["x"], table["y"] = (x + 1) * u.pix, (y + 1) * u.pix
    return table


def _numbers(values: Sequence[u.Quantity | None], unit: u.UnitBase) -> u.Quantity:
    return [np.nan if value is None else float(value.to_value(unit)) for value in values] * unit
