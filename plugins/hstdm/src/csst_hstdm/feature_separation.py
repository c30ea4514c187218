"""Standing waves and lines told apart: what explains more of the residuals comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_hstdm.baseline_fit import Polynomial, fit, polynomials, sinusoids, subtract
from csst_hstdm.bins import Level, binned, levels
from csst_hstdm.broad_lines import strongest_lines
from csst_hstdm.standing_waves import WaveSearch

MOST_MASKED = 0.6
"""Features that take more of the band than this are no lines but the baseline."""
_MOST_STEPS = 40
_MOST_ATTEMPTS = 8
_ALIKE = 0.6
"""A line explains nearly as much as a wave from this ratio on."""
_LEFT = 0.3
"""They are one feature if the wave explains less than this part of before without the line."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What residuals of dumps hold besides polynomials and noise."""

    cycles: list[float]
    """Standing waves, per band."""
    windows: NDArray[np.bool_]
    """Channels with lines, shape (dumps, channels)."""
    crowded: bool
    """Whether what stands out takes too much of the band for lines, so that only stronger features
    count."""
    too_wide: bool
    """Whether a line is as wide as the widest one, or wider."""
    doubtful_cycles: list[float]
    """Features that a line explains nearly as well as a standing wave, per band."""


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
    outside of all windows, and waves that only lines seemed to make are left out. Where lines would
    take most of the band, the baseline is not smooth, and the threshold is doubled until they do
    not.

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
    for attempt in range(_MOST_ATTEMPTS):
        found = _separated(
            residuals,
            search,
            given,
            standing_waves=standing_waves,
            widest_bin=widest_channel / size,
            threshold=threshold * 2**attempt,
        )
        if not found.crowded:
            break
    windows = np.zeros(flux.shape, bool)
    windows[:, : bins * size] = np.repeat(found.windows, size, axis=1)
    windows[:, bins * size :] = found.windows[:, -1:]
    longer = flux.shape[1] / (bins * size)
    return Features(
        [wave * longer for wave in _again(residuals, search, found.windows, found.cycles)],
        windows | known,
        attempt > 0,
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
        if lines is not None and (wave is None or lines.gain >= wave.gain):
            grown = _grown(masked, lines.windows, given)
            if (grown == masked).all():
                return Features(cycles, masked, True, too_wide, doubtful)
            masked = grown
            too_wide |= lines.widest
            continue
        if wave is None:
            break
        if lines is not None and lines.gain > _ALIKE * wave.gain:
            without = residuals.levels(_grown(masked, lines.windows, given), cycles)
            again = search.strongest(without, cycles, near=wave.cycles)
            if again is None or again.gain < _LEFT * wave.gain:
                doubtful.append(wave.cycles)
        cycles.append(wave.cycles)
    return Features(cycles, masked, False, too_wide, doubtful)


def _grown(
    masked: NDArray[np.bool_], windows: NDArray[np.bool_], given: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the windows with new ones, but in dumps where they would take too much."""
    grown = masked | windows
    part = (grown & ~given).sum(axis=1) / np.maximum((~given).sum(axis=1), 1)
    grown[part > MOST_MASKED] = False
    return grown | masked


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
