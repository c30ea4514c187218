"""Gain of the signal sideband, at the channels of a tuning."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_hstdm.dump_rows import numbers
from csst_hstdm.receiver import intermediate_frequency_hz
from csstcore.api import Spectra, UnprocessableData


def signal_gain(
    reference: Spectra,
    signal_hz: NDArray[np.float64],
    lo_hz: float,
    sideband: str,
    *,
    range_hz: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the gain of the signal sideband, and its error, at signal frequencies.

    Parameters
    ----------
    reference
        Gains from 0 to 1 by intermediate frequency, a row per local oscillator and sideband; the
        row nearest in LO frequency counts.
    signal_hz
        Frequencies of the channels.
    lo_hz, sideband
        Tuning.
    range_hz
        Gains measured at local oscillators further off are not used.

    Raises
    ------
    UnprocessableData
        If the reference does not cover the tuning.
    """
    rows = reference.rows
    if rows is None or not len(rows):
        raise UnprocessableData("hstdm.sideband_gain has no rows")
    same = np.char.strip(np.asarray(rows["sideband"]).astype(str)) == sideband
    if not same.any():
        raise UnprocessableData(f"hstdm.sideband_gain has no row for the sideband {sideband}")
    distance = np.where(same, np.abs(numbers(rows, "lo_frequency", u.Hz) - lo_hz), np.inf)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    row = int(np.argmin(distance))
    if not distance[row] <= range_hz:
        raise UnprocessableData(
            f"hstdm.sideband_gain was measured {distance[row] / 1e9:.3f} GHz away from the local "
            f"oscillator at {lo_hz / 1e9:.3f} GHz; expected at most {range_hz / 1e9:.3f} GHz"
        )
    axis = reference.axis if reference.axis.ndim == 1 else reference.axis[row]
    known_hz = axis.to_value(u.Hz)
    order = np.argsort(known_hz)
    wanted_hz = intermediate_frequency_hz(signal_hz, lo_hz)
    spacing_hz = np.median(np.abs(np.diff(known_hz))) if len(known_hz) > 1 else 0.0
    low, high = known_hz[order[[0, -1]]]
    if wanted_hz.min() < low - spacing_hz or wanted_hz.max() > high + spacing_hz:
        raise UnprocessableData(
            f"hstdm.sideband_gain covers {low / 1e9:.4f} to {high / 1e9:.4f} GHz of intermediate "
            f"frequency; the dumps need {wanted_hz.min() / 1e9:.4f} to {wanted_hz.max() / 1e9:.4f}"
        )
    gain = np.interp(wanted_hz, known_hz[order], np.asarray(reference.flux[row], float)[order])
    if not np.all((gain > 0) & (gain <= 1)):
        raise UnprocessableData("hstdm.sideband_gain has gains that are not between 0 and 1")
    error = np.zeros_like(gain)
    if reference.variance is not None:
        sigma = np.sqrt(np.asarray(reference.variance[row], float))
        error = np.interp(wanted_hz, known_hz[order], sigma[order])
    return gain, error
