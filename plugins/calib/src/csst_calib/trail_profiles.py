"""Charge in the overscan behind the last lit pixels: extended-pixel-edge response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from csst_calib.readout import Channel, Readout

EDGE_PIXELS = 4
"""Last lit rows or columns, whose mean is the charge of the packets that made the trail."""
LEVEL_ROWS = 16
"""Rows before the overscan that, with it, give the drift of the level there."""
OFFSET_ROWS = 512
"""Last active rows whose prescan gives the level of each channel by itself."""
CLIP_SIGMA = 5.0

Plane = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrailProfile:
    """The trail of one frame, channel and direction, in electrons."""

    charge: float
    """Mean charge of the last lit pixels."""
    trail: Plane
    """Mean charge of the first, second ... overscan pixel."""
    error: Plane
    """Error of `trail` by the scatter of the pixels averaged and of the level."""


@dataclass(frozen=True, eq=False)
class EdgeRegions:
    """The parts of a channel's block that trails are measured in; the amplifier comes first."""

    last_rows: Plane
    """`LEVEL_ROWS` active rows and the overscan rows, over all columns."""
    prescan: Plane
    """Prescan columns of the active rows."""
    last_columns: Plane
    """`EDGE_PIXELS` active columns and the overscan columns of the active rows."""


def edge_regions(raw: NDArray[np.generic], channel: Channel, readout: Readout) -> EdgeRegions:
    """Return the edge regions of a channel in adu, float64 copies."""
    block = raw[channel.block][channel.read_order]
    rows = slice(readout.prescan_rows, readout.prescan_rows + readout.channel_rows)
    columns = readout.prescan_columns + readout.channel_columns
    return EdgeRegions(
        last_rows=np.asarray(block[max(rows.stop - LEVEL_ROWS, 0) :], np.float64),
        prescan=np.asarray(block[rows, : readout.prescan_columns], np.float64),
        last_columns=np.asarray(block[rows, columns - EDGE_PIXELS :], np.float64),
    )


def mean_regions(regions: Sequence[EdgeRegions]) -> EdgeRegions:
    """Return the mean of several frames' regions, without cosmic rays."""
    names = (field.name for field in fields(EdgeRegions))
    return EdgeRegions(**{n: _frame_mean([getattr(r, n) for r in regions]) for n in names})


def subtracted(regions: EdgeRegions, bias: EdgeRegions) -> EdgeRegions:
    """Return the difference of two frames' regions."""
    names = (field.name for field in fields(EdgeRegions))
    return EdgeRegions(**{n: getattr(regions, n) - getattr(bias, n) for n in names})


def parallel_profiles(
    channels: Sequence[EdgeRegions], readout: Readout, gains: Sequence[float]
) -> list[TrailProfile]:
    """Return the trail in the overscan rows of every channel, of bias-subtracted regions.

    The level of a channel is that of its prescan in the last rows; its drift from there to
    the overscan is taken as common to all channels, which are read at the same time: a
    straight line through their prescan and, in the overscan rows, also the overscan columns.
    None of these was lit.
    """
    first, last = readout.prescan_columns, readout.prescan_columns + readout.channel_columns
    offsets, offset_errors, unlit = [], [], []
    for regions in channels:
        level, error = _clipped_mean(regions.prescan[-OFFSET_ROWS:].reshape(1, -1))
        offsets.append(level[0])
        offset_errors.append(error[0])
        block = regions.last_rows - level[0]
        unlit.append(np.hstack([block[:, :first], block[:, last:]]))
    weight = np.ones(unlit[0].shape)
    lit = len(weight) - readout.overscan_rows
    weight[:lit, first:] = 0.0  # trails of the serial register
    drift, drift_error = _line(np.hstack(unlit), np.tile(weight, len(channels)))
    profiles = []
    for regions, offset, offset_error, gain in zip(
        channels, offsets, offset_errors, gains, strict=True
    ):
        block = regions.last_rows[:, first:last] - (offset + drift)[:, None]
        trail, error = _clipped_mean(block[lit:])
        charge = np.median(block[lit - EDGE_PIXELS : lit])
        error = np.sqrt(error**2 + drift_error[lit:] ** 2 + offset_error**2)
        profiles.append(TrailProfile(gain * float(charge), gain * trail, gain * error))
    return profiles


def serial_profile(regions: EdgeRegions, gain: float) -> TrailProfile:
    """Return the trail in the overscan columns of bias-subtracted regions.

    The level is a straight line through the rows of the prescan, read before any charge.
    """
    level, level_error = _line(regions.prescan, np.ones(regions.prescan.shape))
    pixels = (regions.last_columns - level[:, None]).T
    trail, error = _clipped_mean(pixels[EDGE_PIXELS:])
    charge = np.median(pixels[:EDGE_PIXELS])
    return TrailProfile(
        gain * float(charge), gain * trail, gain * np.hypot(error, np.median(level_error))
    )


def _frame_mean(planes: Sequence[Plane]) -> Plane:
    """Return the mean of planes without values far from the median of each pixel."""
    stack = np.stack(planes)
    middle = np.median(stack, axis=0)
    kept = np.abs(stack - middle) <= CLIP_SIGMA * _sigma(stack - middle)
    return np.asarray((kept * stack).sum(axis=0) / kept.sum(axis=0))


def _line(values: Plane, weight: Plane) -> tuple[Plane, Plane]:
    """Return a weighted straight line along axis 0, and its error at every row."""
    kept = weight * (np.abs(values - np.median(values)) <= CLIP_SIGMA * _sigma(values))
    count = kept.sum(axis=1)
    mean = (kept * values).sum(axis=1) / np.maximum(count, 1)
    design = np.vander(np.linspace(-1, 1, len(values)), 2)
    normal = np.linalg.inv(design.T @ (count[:, None] * design))
    level = design @ (normal @ (design.T @ (count * mean)))
    scatter = np.sqrt((kept * (values - level[:, None]) ** 2).sum() / kept.sum())
    return level, scatter * np.sqrt(np.einsum("ij,jk,ik->i", design, normal, design))


def _clipped_mean(pixels: Plane) -> tuple[Plane, Plane]:
    """Return the mean of every row and its error, without cosmic rays."""
    middle = np.median(pixels, axis=1, keepdims=True)
    kept = np.abs(pixels - middle) <= CLIP_SIGMA * _sigma(pixels - middle)
    count = kept.sum(axis=1)
    mean = (kept * pixels).sum(axis=1) / count
    scatter = np.sqrt((kept * (pixels - mean[:, None]) ** 2).sum(axis=1) / count)
    return mean, scatter / np.sqrt(count)


def _sigma(values: Plane) -> float:
    """Return the scatter by the median deviation; raw values are whole numbers."""
    return max(1.4826 * float(np.median(np.abs(values - np.median(values)))), 0.5)
