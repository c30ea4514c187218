"""Standing waves in averages of dumps: the sinusoid that explains most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.optimize import minimize_scalar
from scipy.stats import gamma

from csst_hstdm.baseline_fit import sinusoids
from csst_hstdm.bins import Level

FALSE_ALARM = 1e-4
"""Probability with which noise is taken for a standing wave."""
_OVERSAMPLING = 4
_FASTEST = 1 / 8
"""Cycles per bin."""
_APART_CYCLES = 0.75
_NEAR_CYCLES = 1.0
_LEAST_FREE = 0.05
"""Of a sinusoid that polynomials mimic but for less than this, nothing can be said."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A sinusoid that all dumps share, with phases of their own."""

    gain: float
    """Decrease of chi square."""
    cycles: float
    """Per band."""


class WaveSearch:
    """Looks for sinusoids beside polynomials.

    Parameters
    ----------
    polynomials
        That are fitted, over the bins: what they take of a sinusoid does not count.
    slowest_cycles
        Slower sinusoids are left to the polynomials.
    """

    def __init__(self, polynomials: NDArray[np.float64], slowest_cycles: float) -> None:
        bins = len(polynomials)
        self._orthogonal = np.linalg.qr(polynomials)[0]
        steps = np.arange(
            int(np.ceil(slowest_cycles * _OVERSAMPLING)), int(bins * _FASTEST * _OVERSAMPLING)
        )
        self._steps, self._cycles = steps, steps / _OVERSAMPLING
        self._inverse = _inverse(self._orthogonal, self._cycles)

    def strongest(
        self, levels: Sequence[Level], known: Sequence[float], *, near: float | None = None
    ) -> Wave | None:
        """Return the sinusoid that explains most of what is left; None if noise would do as well.

        Powers of the dumps are added, so that a wave counts that does not survive the time
        average; those of averages, so that a faint one counts whose phase stays.

        Parameters
        ----------
        levels
            Averages of residuals.
        known
            Waves that are fitted already, in cycles per band.
        near
            Only waves within a cycle of this.
        """
        wanted = np.ones(len(self._cycles), bool)
        for wave in known:
            wanted &= np.abs(self._cycles - wave) >= _APART_CYCLES
        if near is not None:
            wanted &= np.abs(self._cycles - near) <= _NEAR_CYCLES
        if not wanted.any():
            return None
        best: tuple[float, float, Level] | None = None
        for level in levels:
            count = int(np.sum(level.weight.any(axis=1)))
            if not count:
                continue
            found = self._powers(level)
            noise = max(float(np.median(found)) / float(gamma.median(count)), 1.0)
            at = int(np.argmax(np.where(wanted, found, -1.0)))
            gain = 2 * (float(found[at]) - count)
            if found[at] < noise * float(gamma.isf(FALSE_ALARM / len(found), count)):
                continue
            if best is None or gain > best[0]:
                best = gain, float(self._cycles[at]), level
        return None if best is None else Wave(best[0], self._refined(best[2], best[1]))

    def _powers(self, level: Level) -> NDArray[np.float64]:
        """Return half of the decrease of chi square by each sinusoid, summed over averages."""
        scaled = _scaled(level)
        spectrum = rfft(scaled, _OVERSAMPLING * scaled.shape[1], axis=1)[:, self._steps]
        return _power(np.stack([spectrum.real, -spectrum.imag]), self._inverse)

    def _refined(self, level: Level, cycles: float) -> float:
        """Return the number of cycles near by that explains most."""
        scaled = _scaled(level)

        def lacking(value: float) -> float:
            parts = (scaled @ sinusoids(scaled.shape[1], [value])).T[:, :, None]
            inverse = _inverse(self._orthogonal, np.array([value]))
            return -float(_power(parts, inverse)[0])

        around = (cycles - 1 / _OVERSAMPLING, cycles + 1 / _OVERSAMPLING)
        return float(minimize_scalar(lacking, bounds=around).x)


def _scaled(level: Level) -> NDArray[np.float64]:
    """Return the averages with a noise of 1 when summed over all bins."""
    norm = level.weight.sum(axis=1)
    some = norm > 0
    return np.asarray(level.total[some] / np.sqrt(norm[some])[:, None])


def _inverse(orthogonal: NDArray[np.float64], cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return inverse normal matrices per bin of sinusoids without what polynomials take."""
    bins = len(orthogonal)
    waves = sinusoids(bins, list(cycles)).reshape(bins, 2, len(cycles))
    taken = np.tensordot(orthogonal, waves, axes=(0, 0))
    normal = np.einsum("bkc,blc->ckl", waves, waves) - np.einsum("pkc,plc->ckl", taken, taken)
    normal = np.asarray(normal / bins)
    out = np.zeros_like(normal)
    sound = np.linalg.eigvalsh(normal)[:, 0] > _LEAST_FREE
    out[sound] = np.linalg.inv(normal[sound])
    return out


def _power(parts: NDArray[np.float64], inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half of ``v^T inverse v`` summed over rows, parts v of shape (2, rows, cycles)."""
    products = np.einsum("krc,lrc->ckl", parts, parts)
    return np.asarray(0.5 * np.einsum("ckl,ckl->c", products, inverse))
