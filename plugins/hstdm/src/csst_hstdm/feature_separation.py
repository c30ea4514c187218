"""Standing waves and lines told apart: what explains more of the residuals comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.baseline_error import determination
from csst_hstdm.baseline_fit import Polynomial, fit, polynomials, sinusoids, subtract
from csst_hstdm.bins import Level, binned, levels
from csst_hstdm.broad_lines import strongest_lines
from csst_hstdm.standing_waves import Wave, WaveSearch

LEAST_DETERMINED = 0.05
"""Windows leave baselines determined as well as this; see `determination`."""
_MOST_STEPS = 40
_ALIKE = 0.8
"""A line explains nearly as much as a wave from this ratio on."""
_SHARED = 0.25
"""Of what a wave explains, at least this is in the average of all dumps if it may be a line: the
ripple of a continuum is in few dumps of a map, and phases of waves drift."""
_LEFT = 0.3
"""They are one feature if the wave explains less than this part of before without the line."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What residuals of dumps hold besides polynomials and noise."""

    cycles: list[float]
    """Standing waves, per band."""
    windows: NDArray[np.bool_]
    """Channels with lines, shape (dumps, channels)."""
    too_wide: bool
    """Whether a line is as wide as the widest one, or wider."""
    doubtful_cycles: list[float]
    """Waves that may be a line of all dumps, per band."""


@dataclass(frozen=True, slots=True, eq=False)
class _Residuals:
    """Dumps in bins, with what is known about them."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    polynomials: NDArray[np.float64]

    def levels(self, masked: NDArray[np.bool_], cycles: Sequence[float]) -> list[Level]:
        """Return the averages of what polynomials and waves leave outside of windows."""
        waves = sinusoids(self.values.shape[1], cycles)
        basis = np.concatenate([self.polynomials, waves], axis=1)
        used = self.valid & ~masked
        rest = subtract(self.values, fit(self.values, used, basis), basis)
        return levels(np.nan_to_num(rest), used & np.isfinite(rest))

    def guessed(
        self, masked: NDArray[np.bool_], given: NDArray[np.bool_], cycles: Sequence[float]
    ) -> NDArray[np.bool_]:
        """Return the dumps that windows, besides those given, leave without a sound baseline."""
        waves = sinusoids(self.values.shape[1], cycles)
        basis = np.concatenate([self.polynomials, waves], axis=1)
        good = self.valid & ~given
        return determination(basis, good & ~masked, good) < LEAST_DETERMINED


def separate_features(
    flux: NDArray[np.float32],
    good: NDArray[np.bool_],
    known: NDArray[np.bool_],
    *,
    degree: int,
    polynomial: Polynomial,
    standing_waves: int,
    widest_channel: float,
    threshold: float,
) -> Features:
    """Tell standing waves from lines of any width.

    A sinusoid is fitted only if it explains more than the strongest line that is not masked yet:
    a line as wide as half a period is no wave. With a line masked or a wave fitted, everything is
    fitted again and the next feature is looked for. At last the periods are fitted once more
    outside of all windows, and waves that only lines seemed to make are left out. No dump gets
    windows that leave its baseline to guesses; those that do so beside a new wave are found anew.

    Parameters
    ----------
    flux, good
        Dumps, shape (dumps, channels), and the samples that count.
    known
        Channels with lines, shape (channels,).
    degree, polynomial
        Of the polynomial.
    standing_waves
        Largest number of sinusoids.
    widest_channel
        Full width at half maximum of the widest line.
    threshold
        Lines stand out by this many times the noise of an average over dumps and a width.
    """
    values, valid = binned(flux, good)
    bins = values.shape[1]
    size = flux.shape[1] // bins
    residuals = _Residuals(values, valid, polynomials(bins, degree, polynomial))
    starts = np.arange(bins) * size
    given = np.repeat(np.logical_or.reduceat(known, starts)[None], len(flux), axis=0)
    search = WaveSearch(residuals.polynomials, max(degree / 2, 1.0))
    found = _separated(
        residuals,
        search,
        given,
        standing_waves=standing_waves,
        widest_bin=widest_channel / size,
        threshold=threshold,
    )
    windows = np.zeros(flux.shape, bool)
    windows[:, : bins * size] = np.repeat(found.windows, size, axis=1)
    windows[:, bins * size :] = found.windows[:, -1:]
    longer = flux.shape[1] / (bins * size)
    return Features(
        [wave * longer for wave in _again(residuals, search, found.windows, found.cycles)],
        windows | known,
        found.too_wide,
        [wave * longer for wave in found.doubtful_cycles],
    )


def _separated(
    residuals: _Residuals,
    search: WaveSearch,
    given: NDArray[np.bool_],
    *,
    standing_waves: int,
    widest_bin: float,
    threshold: float,
) -> Features:
    """Return waves and windows in bins."""
    masked = given
    cycles: list[float] = []
    doubtful: list[float] = []
    too_wide = False
    for _ in range(_MOST_STEPS):
        left = residuals.levels(masked, cycles)
        wave = search.strongest(left, cycles) if len(cycles) < standing_waves else None
        lines = strongest_lines(
            left, residuals.polynomials, widest_bin=widest_bin, threshold=threshold
        )
        grown = masked if lines is None else _grown(residuals, masked, lines.windows, given, cycles)
        stays = (grown == masked).all()
        if wave is not None and (lines is None or stays or wave.gain > lines.gain):
            if lines is not None and lines.gain > _ALIKE * wave.gain:
                average = search.strongest(left[-1:], cycles, near=wave.cycles)
                without = search.strongest(
                    residuals.levels(masked | lines.windows, cycles), cycles, near=wave.cycles
                )
                if _gain(average) > _SHARED * wave.gain and _gain(without) < _LEFT * wave.gain:
                    doubtful.append(wave.cycles)
            cycles.append(wave.cycles)
            guess = residuals.guessed(masked, given, cycles)
            masked = np.where(guess[:, None], given, masked)
            continue
        if lines is None or stays:
            break
        masked = grown
        too_wide |= lines.widest
    return Features(cycles, masked, too_wide, doubtful)


def _gain(wave: Wave | None) -> float:
    return 0.0 if wave is None else wave.gain


def _grown(
    residuals: _Residuals,
    masked: NDArray[np.bool_],
    windows: NDArray[np.bool_],
    given: NDArray[np.bool_],
    cycles: Sequence[float],
) -> NDArray[np.bool_]:
    """Return the windows with new ones, but in dumps whose baseline would be a guess."""
    grown = masked | windows
    rows = np.flatnonzero((grown != masked).any(axis=1))
    part = _Residuals(residuals.values[rows], residuals.valid[rows], residuals.polynomials)
    guess = part.guessed(grown[rows], given[rows], cycles)
    grown[rows[guess]] = masked[rows[guess]]
    return grown


def _again(
    residuals: _Residuals,
    search: WaveSearch,
    masked: NDArray[np.bool_],
    cycles: Sequence[float],
) -> list[float]:
    """Return the waves as they come out outside of all windows, each without the others."""
    kept = list(cycles)
    for wave in cycles:
        others = [other for other in kept if other != wave]
        again = search.strongest(residuals.levels(masked, others), others, near=wave)
        kept = others if again is None else [*others, again.cycles]
    return kept
