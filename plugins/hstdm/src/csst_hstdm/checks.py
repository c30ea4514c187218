"""Quality numbers of calibrated dumps and of the load calibration."""

from __future__ import annotations

from itertools import pairwise

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter1d

from csst_hstdm.dump_rows import numbers, rows_of
from csst_hstdm.medians import finite_median
from csst_hstdm.scatter import scatter_about_zero
from csstcore.api import NotApplicable, Spectra, Table

SAMPLED_DUMPS = 200
LINE_BOX = 16
"""Channels over which lines are looked for."""
LINE_SIGMA = 4.0
LAG = 3
"""Channels between those compared: further than resampling correlates them."""


def receiver_temperature(load_gain: Table) -> float:
    """Median receiver temperature of the band in K (Callen-Welton).

    Parameters
    ----------
    load_gain
        Of `solve_loads`.
    """
    return finite_median(load_gain.table["t_rec"].to_value(u.K))


def gain_drift(load_gain: Table) -> float:
    """Largest relative change of the band's gain from one pair of loads to the next.

    Parameters
    ----------
    load_gain
        Of `solve_loads`; NaN with a single pair of each tuning, which shows no drift.
    """
    table = load_gain.table
    tuning = numbers(table, "lo_frequency", u.Hz)
    gamma = np.asarray(table["gamma"].value, float)
    changes = []
    for lo_hz in np.unique(tuning):
        for before, after in pairwise(gamma[tuning == lo_hz]):
            changes.append(abs(finite_median(after / before) - 1))
    return max(changes, default=float("nan"))


def system_temperature(dumps: Spectra) -> float:
    """Median system temperature of the dumps in K (double sideband).

    Parameters
    ----------
    dumps
        Level 1.
    """
    return finite_median(numbers(rows_of(dumps), "t_sys", u.K))


def noise_ratio(dumps: Spectra) -> float:
    """Scatter between channels over that of the radiometer equation.

    Parameters
    ----------
    dumps
        Level 1; some two hundred dumps are looked at. Differences of channels `LAG` apart, by
        their median, are blind to baselines and single spikes; lines are left out, which add
        slopes and, if bright, noise.
    """
    if dumps.variance is None:
        raise NotApplicable("the spectra carry no variance")
    ratios = []
    for row in _sample(dumps):
        good = _good(dumps, row)
        good &= ~_lines(dumps.flux[row], good)
        pairs = good[LAG:] & good[:-LAG]
        if np.count_nonzero(pairs) < 10:
            continue
        flux, variance = dumps.flux[row], dumps.variance[row]
        difference = (flux[LAG:] - flux[:-LAG])[pairs]
        sigma = np.sqrt((variance[LAG:] + variance[:-LAG])[pairs])
        ratios.append(scatter_about_zero(difference / sigma))
    return float(np.median(ratios)) if ratios else float("nan")


def flagged_fraction(dumps: Spectra) -> float:
    """Fraction of the samples with any flag, within the band of each dump.

    Parameters
    ----------
    dumps
        Level 1; some two hundred dumps are looked at. Channels of the common axis that a dump does
        not reach do not count.
    """
    flagged, samples = 0, 0
    for row in _sample(dumps):
        reached = np.flatnonzero(np.isfinite(dumps.flux[row]))
        if not len(reached):
            flagged, samples = flagged + dumps.flux.shape[1], samples + dumps.flux.shape[1]
            continue
        inside = slice(reached[0], reached[-1] + 1)
        flagged += int(np.count_nonzero(~_good(dumps, row)[inside]))
        samples += inside.stop - inside.start
    return flagged / samples if samples else float("nan")


def _sample(dumps: Spectra) -> NDArray[np.intp]:
    number = min(len(dumps), SAMPLED_DUMPS)
    return np.unique(np.linspace(0, len(dumps) - 1, number).astype(np.intp)) if number else _NONE


_NONE = np.zeros(0, np.intp)


def _lines(flux: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a running mean stands out of its scatter over the band."""
    if not good.any():
        return ~good
    level = np.median(flux[good])
    mean = uniform_filter1d(np.where(good, flux - level, 0.0), LINE_BOX)
    scatter = scatter_about_zero(mean[good])
    return np.asarray(binary_dilation(np.abs(mean) > LINE_SIGMA * scatter, iterations=LINE_BOX))


def _good(dumps: Spectra, row: int) -> NDArray[np.bool_]:
    good = np.isfinite(dumps.flux[row])
    if dumps.flags is not None:
        good &= dumps.flags[row] == 0
    return np.asarray(good)
