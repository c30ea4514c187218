"""Quality of every frame of a series."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from numpy.typing import NDArray

from csst_cpic.dark_zone import DarkZone, ring
from csstcore.api import (
    Image,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    common_meta,
    each,
    metric,
    pieces,
)

PAIRED_STEP = 4
"""Every fourth row gives the scatter between frames."""
TILE_PIXEL = 32
"""Of a tile in which the scatter is compared with the errors."""
KINDS = ("saturated", "cosmic_ray", "trail")
DEFECTS = ("bad", "hot", "warm")


def measure_frame(
    image: Image,
    dark_zone: Reference[DarkZone],
    dark: Reference[Image],
    flat: Reference[Image],
) -> Annotated[Table, "quality"]:
    """Measure noise and flags of a reduced frame.

    Parameters
    ----------
    image
        Level 1 frame in electron.
    dark_zone
        Where noise is measured: about the middle of the frame. Without a known filter it is the
        whole frame, with a caveat.
    dark, flat
        References of this frame, to be described in the header.

    Returns
    -------
    quality
        One row: ``frame``, ``zone_mean``, ``zone_noise`` (scatter of the unflagged pixels) and
        ``zone_error`` (their mean error) in electron, and numbers of flagged pixels,
        ``defects`` (bad, hot and warm), ``saturated``, ``cosmic_ray`` and ``trail``. The same as
        metrics, ``image_class``, and of the unflagged pixels of the references ``dark_mean``,
        ``dark_scatter``, ``flat_mean`` and ``flat_scatter``.
    """
    zone = _zone(image, dark_zone)
    used = zone & ~image.flagged() & np.isfinite(image.data)
    values = image.data[used].astype(np.float64)
    error = np.nan
    if image.variance is not None and values.size:
        error = float(np.sqrt(image.variance[used].mean(dtype=np.float64)))
    row: dict[str, Any] = {
        "frame": 0 if image.meta.frame is None else image.meta.frame,
        "zone_mean": (values.mean() if values.size else np.nan) * u.electron,
        "zone_noise": (values.std() if values.size else np.nan) * u.electron,
        "zone_error": error * u.electron,
        "defects": int(np.count_nonzero(image.flagged(*DEFECTS))),
    }
    row |= {kind: int(np.count_nonzero(image.flagged(kind))) for kind in KINDS}
    metric("zone_mean", row["zone_mean"].value)
    metric("zone_noise", row["zone_noise"].value)
    metric("flagged_bad", row["defects"])
    for kind in KINDS:
        metric(f"flagged_{kind}", row[kind])
    for name, reference in (("dark", dark), ("flat", flat)):
        mean, scatter = _described(reference)
        metric(f"{name}_mean", mean)
        metric(f"{name}_scatter", scatter)
    metric("image_class", (image.meta.file_type or "S")[0])
    return Table(QTable([row]), meta=image.meta)


def _described(reference: Image) -> tuple[float, float]:
    """Return mean and scatter of the unflagged pixels of a reference, NaN if there are none."""
    used = np.isfinite(reference.data)
    if reference.flags is not None:
        used &= reference.flags == 0
    values = reference.data[used]
    if not values.size:
        return float("nan"), float("nan")
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))


def _zone(image: Image, dark_zone: DarkZone) -> NDArray[np.bool_]:
    meta = image.meta
    scale = dark_zone.pixel_scale_arcsec
    if meta.pixel_scale is not None:
        scale = float(meta.pixel_scale.to_value(u.arcsec))
    if meta.filter is None or meta.filter not in dark_zone.wavelength_nm or not scale > 0:
        caveat(f"the dark zone is not known in filter {meta.filter}: noise is of the whole frame")
        return np.ones(image.shape, np.bool_)
    return ring(image.shape, *dark_zone.radii_pixel(meta.filter, scale))


def compare_frames(
    frames: Sequence[Image], bias_level: Sequence[Table], quality: Sequence[Table]
) -> Annotated[Table, "summary"]:
    """Put what is known of every frame of a series side by side.

    Parameters
    ----------
    frames
        Level 1 frames with variance.
    bias_level
        Of `subtract_bias_level`.
    quality
        Of `measure_frame`.

    Returns
    -------
    summary
        One row a frame: the columns of both, and ``pull``, the scatter of the difference to the
        next frame (the last: to the one before) over its error; 1 if noise is all there is, NaN
        without another frame. Metrics: ``bias_range`` in adu, ``largest_pull``.

    Raises
    ------
    UnprocessableData
        If the frames differ in shape.
    """
    if len({frame.shape for frame in frames}) > 1:
        raise UnprocessableData("the frames differ in shape")
    levels = vstack(
        [table.table["level", "noise", "drift", "disturbed_rows"] for table in bias_level]
    )
    rows = vstack([table.table for table in quality], metadata_conflicts="silent")
    for name, new in (("level", "bias_level"), ("noise", "bias_noise"), ("drift", "bias_drift")):
        rows[new] = levels[name]
    rows["disturbed_rows"] = levels["disturbed_rows"]
    pulls = [_pull(first, second) for first, second in pairwise(frames)]
    rows["pull"] = [*pulls, pulls[-1]] if pulls else [np.nan]
    metric("bias_range", float(np.ptp(levels["level"].to_value(u.adu))))
    metric("largest_pull", float(np.max(rows["pull"])))
    return Table(rows, meta=common_meta([frame.meta for frame in frames]))


def _pull(first: Image, second: Image) -> float:
    """Return the scatter of the difference of two frames over its error.

    Of squares and variances the means of tiles are compared: a variance is made of few electrons,
    in few frames largely of those in the pixel itself, and a mean of ratios would be low.
    """
    if first.variance is None or second.variance is None:
        return float("nan")
    rows = slice(None, None, PAIRED_STEP)
    variance = first.variance[rows] + second.variance[rows]
    difference = first.data[rows] - second.data[rows]
    used = (variance > 0) & np.isfinite(difference)
    for frame in (first, second):
        if frame.flags is not None:
            used &= frame.flags[rows] == 0
    squares, errors = (_tile_sums(np.where(used, plane, 0)) for plane in (difference**2, variance))
    ratios = squares[errors > 0] / errors[errors > 0]
    return float(np.sqrt(ratios.mean())) if ratios.size else float("nan")


def _tile_sums(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sums of tiles of a plane of which every `PAIRED_STEP`-th row is there."""
    down, along = (
        np.arange(0, size, step)
        for size, step in zip(plane.shape, (TILE_PIXEL // PAIRED_STEP, TILE_PIXEL), strict=True)
    )
    sums = np.add.reduceat(np.add.reduceat(plane, down, axis=0, dtype=np.float64), along, axis=1)
    return np.asarray(sums)


def average_error(frames: Sequence[Image]) -> Annotated[Image, "error"]:
    """Average the variances of the frames of a series, which has one rate and one EM gain.

    Parameters
    ----------
    frames
        With variances, of one shape.

    Returns
    -------
    error
        Image with the mean variance over the frames without flag, or over all of them where
        every one has a flag; its data are 0.

    Raises
    ------
    NotApplicable
        If no frame has a variance.
    """
    known = [frame for frame in frames if frame.variance is not None]
    if not known:
        raise NotApplicable("no frame has a variance")
    first = known[0]
    mean = np.empty(first.shape, np.float32)

    def average(rows: slice) -> None:
        total = np.zeros(mean[rows].shape, np.float64)
        good, number = total.copy(), total.copy()
        for frame in known:
            assert frame.variance is not None  # noqa: S101 - for mypy
            variance = frame.variance[rows]
            used = np.isfinite(variance)
            total += np.where(used, variance, 0)
            if frame.flags is not None:
                used &= frame.flags[rows] == 0
            np.add(good, variance, out=good, where=used)
            number += used
        np.divide(total, len(known), out=total)
        np.divide(good, number, out=total, where=number > 0)
        mean[rows] = total

    each(average, pieces(first.shape[0]))
    meta = common_meta([frame.meta for frame in known])
    return Image(np.zeros(first.shape, np.float32), first.unit, mean, meta=meta)
