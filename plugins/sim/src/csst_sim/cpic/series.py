"""A series of frames: one file of Level 0."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.random import Generator
from numpy.typing import NDArray

from csst_sim.cpic.exposure import Exposer, Frame
from csst_sim.cpic.settings import CpicReadout
from csstcore.api import Image, Meta, Table, replace


@dataclass(frozen=True, eq=False)
class Series:
    """Frames of one file with the truth of each."""

    frames: list[Image]
    """Level 0, adu (uint16)."""
    hit_truth: Table
    """Pixels that cosmic rays and their tails touched: ``frame`` (from 0), ``x``, ``y`` (1-based
    in the active area; beyond it in prescan and overscan), ``deposit`` (electrons at the input)
    and ``tail`` (electrons at the output)."""
    offset_adu: NDArray[np.float64]
    """True mean bias of each frame, without its fixed pattern."""


def take_series(
    exposer: Exposer, rates: Iterable[NDArray[np.float32]], meta: Meta, rng: Generator
) -> Series:
    """Take frames one after the other.

    Parameters
    ----------
    exposer
        The detector.
    rates
        Light of each frame: electrons per second of pixels with mean response, active area.
    meta
        Facts about all frames.
    rng
        Random numbers; every frame has its own.
    """
    images, hits, offsets = [], [], []
    background = exposer.background()
    for number, rate in enumerate(rates):
        (own,) = rng.spawn(1)
        frame = exposer.expose(exposer.light(rate), background, own)
        images.append(Image(frame.raw, u.adu, meta=replace(meta, frame=number)))
        hits.append(_hits(frame, number, exposer.readout))
        offsets.append(frame.offset_adu)
    names = ("frame", "x", "y", "deposit", "tail")
    columns = [np.concatenate(part) for part in zip(*hits, strict=True)]
    table = QTable(dict(zip(names, columns, strict=True)))
    for name in ("deposit", "tail"):
        table[name] *= u.electron
    return Series(images, Table(table, replace(meta, frame=None)), np.array(offsets))


def _hits(frame: Frame, number: int, readout: CpicReadout) -> list[NDArray[np.float64]]:
    rows, columns = readout.active
    return [
        np.full(len(frame.row), number, np.int32),
        (frame.column - columns.start + 1).astype(np.int32),
        (frame.row - rows.start + 1).astype(np.int32),
        frame.deposit_electron,
        frame.tail_electron,
    ]


def hit_mask(
    hit_truth: Table,
    frame: int,
    shape: tuple[int, int],
    *,
    deposit_electron: float = 1.0,
    tail_electron: float = np.inf,
) -> NDArray[np.bool_]:
    """Return which active pixels of a frame particles touched.

    Parameters
    ----------
    hit_truth
        Of a `Series`.
    frame
        Number of the frame, from 0.
    shape
        (rows, columns) of the active area.
    deposit_electron
        Least charge left by a particle, at the input.
    tail_electron
        Or least charge of a tail, at the output; by default tails do not count.
    """
    table = hit_truth.table
    x, y = np.asarray(table["x"]) - 1, np.asarray(table["y"]) - 1
    chosen = (table["deposit"].to_value(u.electron) >= deposit_electron) | (
        table["tail"].to_value(u.electron) >= tail_electron
    )
    chosen &= np.asarray(table["frame"]) == frame
    chosen &= (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
    mask = np.zeros(shape, np.bool_)
    mask[y[chosen], x[chosen]] = True
    return mask
