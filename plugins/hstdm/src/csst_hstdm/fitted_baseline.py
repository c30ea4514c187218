"""`FittedBaseline`: what the baseline of an average adds to the errors of its lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_hstdm.baseline_error import coefficient_covariance
from csst_hstdm.baseline_fit import polynomials, sinusoids
from csst_hstdm.common_axis import velocity_km_s
from csst_hstdm.dump_rows import numbers, rows_of
from csst_hstdm.line_search import Gaussian, derivatives
from csst_hstdm.line_windows import find_lines_in_dumps, widest_channel
from csstcore.api import Spectra

_REACH = 1.5
"""A baseline is taken to be fitted outside of this many widths of each line, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedBaseline:
    """Terms of a baseline over the channels, and the covariance of their coefficients."""

    basis: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def variance_of_sum(self, channels: NDArray[np.bool_]) -> float:
        """Return the variance of the baseline summed over channels."""
        total = self.basis[channels].sum(axis=0)
        return float(max(total @ self.covariance @ total, 0.0))

    def covariance_of_line(
        self, line: Gaussian, variance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what the baseline adds to the covariance of a fitted line.

        The fit turns a change of the spectrum into one of its parameters by
        ``covariance J^T / variance``, with the derivatives J of the line.

        Parameters
        ----------
        line
            Peak, centre and width with their covariance.
        variance
            Of the channels; those without do not count.
        """
        channel = np.arange(len(variance), dtype=float)
        known = np.isfinite(variance) & (variance > 0)
        weight = np.where(known, 1 / np.where(known, variance, 1.0), 0.0)
        response = line.covariance @ (derivatives(line.values, channel).T * weight) @ self.basis
        return np.asarray(response @ self.covariance @ response.T)


def fitted_baseline(
    spectrum: Spectra, variance: NDArray[np.float64], lines: Sequence[Gaussian]
) -> FittedBaseline | None:
    """Return the baseline that was subtracted from an average; None if its rows tell of none.

    Parameters
    ----------
    spectrum
        One spectrum, with the columns of `subtract_baseline`.
    variance
        Of its channels, noise that they share allowed for.
    lines
        In it: the baseline was fitted outside of them, and of what `find_lines_in_dumps` finds.
    """
    rows = rows_of(spectrum)
    if any(name not in rows.colnames for name in ("baseline_degree", "baseline_periods")):
        return None
    channels = spectrum.flux.shape[1]
    periods = np.asarray(rows["baseline_periods"][0], float)
    cycles = channels / periods[np.isfinite(periods)]
    degree = int(rows["baseline_degree"][0])
    basis = np.concatenate(
        [polynomials(channels, degree, "legendre"), sinusoids(channels, list(cycles))], axis=1
    )
    rest_hz = float(numbers(rows, "rest_frequency", u.Hz)[0])
    velocity = velocity_km_s(spectrum.axis.to_value(u.Hz), rest_hz)
    good = np.isfinite(spectrum.flux[0]) & np.isfinite(variance) & (variance > 0)
    free = (
        good
        & ~find_lines_in_dumps(
            np.where(good, spectrum.flux[0], np.float32(0))[None],
            good[None],
            widest_channel=widest_channel(velocity),
        )[0]
    )
    channel = np.arange(channels)
    for line in lines:
        free &= np.abs(channel - line.values[1]) > _REACH * line.values[2]
    weight = np.where(free, 1 / np.where(good, variance, 1.0), 0.0)
    return FittedBaseline(basis, coefficient_covariance(basis, weight))
