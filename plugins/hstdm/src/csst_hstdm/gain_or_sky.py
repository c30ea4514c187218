"""Whether ON dumps stand out from their OFFs because of the sky or of the gain.

A continuum source adds the same temperature to every channel, a change of gain the same part of
the system temperature: ``c_on / c_off - 1 = s + (1 + s) T / T_sys``. The shape of T_sys over the
band tells them apart, and so does time: a source passes the beam smoothly, a gain steps. Alone in
seeing whole blocks of ONs, or all of them, with another gain than their OFFs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter1d

from csst_hstdm.gain_steps import sharp_edges
from csst_hstdm.scatter import scatter_about_zero

Plane = NDArray[np.float64]

TOGETHER = 8
"""Dumps looked at together at first; all between two steps if these do not tell."""
PARTS = 16
"""Of the band, whose scatter is the error of the fit: it counts standing waves too."""
BOX = 16
"""Channels over which lines are looked for."""
LINE = 4.0
"""In units of the scatter."""
INEXACT = 0.02
"""Part of a continuum source that the shape of the system temperature may leave."""
SAME_PLACE_BEAM = 0.05
"""Dumps that look nearer to each other stare at one position."""
MOTION = 0.02
"""Part of a source by which dumps of one position may differ."""
STEEPEST = 1.43
"""Largest slope of a Gaussian beam, in units of its peak per beam."""
SURE = 5.0
"""Errors by which gain and sky must differ."""


@dataclass(frozen=True, slots=True)
class Step:
    """Dumps whose gain is not that of their OFFs, or that cannot be told from it."""

    dumps: NDArray[np.intp]
    excess: float
    """Median of ON over OFF, less 1."""
    known: bool
    """Whether it is the gain for sure."""


def gain_steps(
    excess: Plane,
    run: NDArray[np.int64],
    ratios: Ratios,
    shape: Shape,
    limit: float,
) -> Iterator[Step]:
    """Yield the dumps whose gain changed.

    Parameters
    ----------
    excess
        Mean over the band of ON over OFF, less 1, of each dump; NaN for those not looked at.
    run
        A number for each run of dumps without a gap.
    ratios
        Gives the spectrum of ON over OFF, less 1, of several dumps.
    shape
        Of the system temperature.
    limit
        Least relative change.
    """
    for number in np.unique(run):
        members = np.flatnonzero((run == number) & np.isfinite(excess) & (excess > -1))
        sharp = sharp_edges(1 + excess[members], limit) if len(members) > 1 else np.zeros(0, bool)
        high = np.abs(excess[members]) > limit
        if not high.any():
            continue
        cuts = np.flatnonzero(sharp | (np.diff(high.astype(int)) != 0)) + 1
        for a, b in pairwise([0, *cuts, len(members)]):
            edges = [bool(sharp[i]) for i in (a - 1, b - 1) if 0 <= i < len(sharp)]
            yield from _steps(members[a:b], edges, ratios, shape, limit)


def changed_runs(
    excess: Plane, run: NDArray[np.int64], direction_beam: Plane, limit: float
) -> Iterator[Step]:
    """Yield runs that stare at a position where others see another level; of two, both.

    Parameters
    ----------
    excess, run, limit
        As for `gain_steps`, of all files of one tuning.
    direction_beam
        Where they look, in beams, shape (dumps, 3).
    """
    levels, places, members = [], [], []
    for number in np.unique(run):
        dumps = np.flatnonzero((run == number) & np.isfinite(excess))
        if len(dumps) and np.all(np.ptp(direction_beam[dumps], axis=0) < SAME_PLACE_BEAM):
            levels.append(float(np.median(excess[dumps])))
            places.append(direction_beam[dumps[0]])
            members.append(dumps)
    level, place = np.array(levels), np.array(places).reshape(-1, 3)
    for k, dumps in enumerate(members):
        apart_beam = np.linalg.norm(place - place[k], axis=1)
        same = apart_beam < SAME_PLACE_BEAM
        others = level[same & (np.arange(len(level)) != k)]
        if len(others):
            usual = float(np.median(level[same] if len(others) > 1 else others))
            step = (1 + level[k]) / (1 + usual) - 1
            allowed = MOTION + STEEPEST * float(np.max(apart_beam[same]))
            if abs(step) > limit + allowed * abs(usual):
                yield Step(dumps, step, True)


def _steps(
    dumps: NDArray[np.intp], edges: list[bool], ratios: Ratios, shape: Shape, limit: float
) -> Iterator[Step]:
    """Yield the steps among dumps between two edges."""
    whole: bool | None = None
    for first in range(0, len(dumps), TOGETHER):
        part = dumps[first : first + TOGETHER]
        ratio = ratios.mean(part)
        excess = float(np.nanmedian(ratio)) if np.isfinite(ratio).any() else np.nan
        if not abs(excess) > limit:  # lines alone, or a gain that hides a source
            if shape.is_gain(ratio, excess, limit):
                yield Step(part, excess, True)
            continue
        gain = True if excess < 0 else shape.is_gain(ratio, excess, limit)
        if gain is None:
            if whole is None:
                everything = ratios.mean(dumps)
                whole = shape.is_gain(everything, float(np.nanmedian(everything)), limit)
            gain = whole
        if gain is None and edges:
            gain = any(edges)
        if gain is not False:
            yield Step(part, excess, gain is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Ratios:
    """Spectra of ON over OFF, less 1."""

    counts: NDArray[np.float32]
    flags: NDArray[np.uint16] | None
    rows: NDArray[np.intp]
    """Of each dump in `counts` and `flags`; all other arrays have the shape (dumps,)."""
    exposure_s: Plane
    off: tuple[NDArray[np.float64], ...]
    """Rates of all OFFs."""
    before: NDArray[np.intp]
    after: NDArray[np.intp]
    weight: Plane

    def mean(self, dumps: NDArray[np.intp]) -> Plane:
        """Return the mean of several dumps; NaN where no sample is good."""
        total, number = np.zeros(self.counts.shape[1]), np.zeros(self.counts.shape[1])
        with np.errstate(invalid="ignore", divide="ignore"):
            for k in dumps:
                w = self.weight[k]
                off = (1 - w) * self.off[self.before[k]] + w * self.off[self.after[k]]
                ratio = self.counts[self.rows[k]] / (off * self.exposure_s[k]) - 1
                good = np.isfinite(ratio)
                if self.flags is not None:
                    good &= self.flags[self.rows[k]] == 0
                total[good] += ratio[good]
                number += good
            return total / number


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Inverse of the system temperature over the band, with mean 1."""

    inverse: Plane
    noise: float
    """Relative noise of a channel of `inverse`."""

    def is_gain(self, ratio: Plane, excess: float, limit: float) -> bool | None:
        """Return whether an excess is a change of gain; None if the shape does not tell.

        Lines are left out, as they are no continuum. The noise of the shape flattens the fit,
        which is corrected for.
        """
        good = np.isfinite(ratio) & np.isfinite(self.inverse)
        if np.count_nonzero(good) < 4 * PARTS:
            return None
        x, y = self.inverse[good], ratio[good]
        keep = np.ones(len(x), bool)
        for _ in range(4):
            slope = _slope(x[keep], y[keep])
            left = uniform_filter1d(y - slope * x, BOX)
            left -= np.median(left[keep])
            scatter = scatter_about_zero(left[keep])
            lines = binary_dilation(np.abs(left) > LINE * scatter, iterations=BOX)
            if np.mean(lines) > 0.7:
                return None
            keep = ~lines
        x, y = x[keep], y[keep]
        spread = float(np.var(x))
        trust = 1 - self.noise**2 / spread if spread > 0 else 0.0
        if trust < 0.5:
            return None
        gain = _gain(x, y, trust)
        pieces = np.array_split(np.arange(len(x)), PARTS)
        without = [_gain(np.delete(x, p), np.delete(y, p), trust) for p in pieces]
        error = float(np.sqrt((PARTS - 1) * np.var(without)))
        if abs(gain) > max(limit, SURE * error) + INEXACT * abs(excess):
            return True
        return False if SURE * error < abs(excess) and abs(gain) < abs(excess) / 3 else None


def _slope(x: Plane, y: Plane) -> float:
    centred = x - x.mean()
    square = float(np.sum(centred**2))
    return float(np.sum(centred * y)) / square if square > 0 else 0.0


def _gain(x: Plane, y: Plane, trust: float) -> float:
    """Return the part of y that does not follow x, whose noise makes the slope too small."""
    return float(np.mean(y) - _slope(x, y) / trust * np.mean(x))
