"""Spectra of dumps on one frequency axis at the local standard of rest."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_hstdm.doppler import doppler_factor, velocity_to_source
from csst_hstdm.dump_rows import VELOCITY, numbers, row_flags, rows_of, seconds, vectors
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.pointing_interpolation import unit_vectors
from csst_hstdm.resample import resample
from csstcore.api import Spectra, UnprocessableData, caveat, each, metric, pieces, replace

FASTEST_KM_S = 100.0
"""No observer in a low orbit is faster against LSRK."""
FRAME = "LSRK"
_UNEVEN = 1e-3
"""Of a channel."""
_FARTHEST_BANDS = 2.0
"""Dumps on a common axis of more than this many bands are of different tunings."""


def shift_to_lsrk(dumps: Spectra) -> Annotated[Spectra, "dumps"]:
    """Shift each dump to the local standard of rest and resample it onto a common axis.

    The factor is ``sqrt((1 - b) / (1 + b))``, with b the velocity towards the source at the middle
    of the dump over that of light. Centres of the new channels are whole multiples of the
    spacing, so that the axes of all files of a tuning are parts of one; it covers all dumps.
    Resampling conserves the integral; the mean variance of a channel shrinks by the column
    ``resampled_variance``, as its noise is shared with its neighbours: the variance of a sum of
    many channels is the sum of their variances over that.

    Parameters
    ----------
    dumps
        In kelvin, with topocentric axes of channels of one width; time, ra, dec, vx, vy, vz in the
        rows.

    Returns
    -------
    Spectra
        With ``velocity_shift`` (km/s, observer towards source), ``frame`` and
        ``resampled_variance`` in the rows. Dumps without time, pointing or orbit are NaN and
        flagged ``pointing``; channels that a dump does not cover are NaN and ``bad_channel``.

    Raises
    ------
    UnprocessableData
        If no dump has all of them, the axes are not evenly spaced, or so far apart that they have
        nothing in common.
    """
    rows = rows_of(dumps)
    if "frame" in rows.colnames and FRAME in set(rows["frame"]):
        raise UnprocessableData("the dumps are at the local standard of rest already")
    low_hz, spacing_hz = _edges(dumps)
    velocity = _velocities(dumps)
    known = np.isfinite(velocity)
    if not known.any():
        raise UnprocessableData("no dump has time, pointing and orbit: velocities are not known")
    if not known.all():
        caveat(f"{np.sum(~known)} of {len(known)} dumps have no velocity and are left out")
    factor = doppler_factor(velocity)
    common_hz = float(np.median(spacing_hz[known]))
    begin = low_hz * factor / common_hz
    end = begin + dumps.flux.shape[1] * spacing_hz * factor / common_hz
    first = int(np.ceil(np.nanmin(begin) + 0.5 - 1e-6))
    last = int(np.floor(np.nanmax(end) - 0.5 + 1e-6))
    if last - first > _FARTHEST_BANDS * dumps.flux.shape[1]:
        raise UnprocessableData(
            f"the dumps together cover {(last - first) * abs(common_hz) / 1e6:.0f} MHz, more than "
            "twice the band; expected one tuning"
        )
    channels = np.arange(first, last + 1)
    step = common_hz / (factor * spacing_hz)
    start = (first - 0.5 - begin) * step
    flux, variance, flags, squares = _resampled(dumps, start, step, len(channels))
    kept = rows.copy()
    kept["velocity_shift"] = velocity * u.km / u.s
    kept["frame"] = np.full(len(rows), FRAME)
    kept["resampled_variance"] = squares
    bits = row_flags(rows)
    bits[~known] |= FLAG_BITS["pointing"]
    kept["flag"] = bits.astype(np.int32)
    metric("velocity_range_km_s", float(np.ptp(velocity[known])))
    axis = (channels * common_hz * u.Hz).to(dumps.axis.unit)
    return replace(dumps, flux=flux, variance=variance, flags=flags, rows=kept, axis=axis)


def _velocities(dumps: Spectra) -> NDArray[np.float64]:
    """Return the velocity of each dump towards its source; NaN where it is not known."""
    rows = rows_of(dumps)
    orbit = vectors(rows, VELOCITY, u.km / u.s)
    ra, dec = numbers(rows, "ra", u.deg), numbers(rows, "dec", u.deg)
    velocity = np.full(len(rows), np.nan)
    known = np.isfinite(np.sum(orbit, axis=1) + ra + dec + seconds(rows))
    known &= (row_flags(rows) & FLAG_BITS["pointing"]) == 0
    if known.any():
        velocity[known] = velocity_to_source(
            rows["time"][known], orbit[known], unit_vectors(ra[known], dec[known])
        )
    velocity[~(np.abs(velocity) < FASTEST_KM_S)] = np.nan
    return velocity


def _edges(dumps: Spectra) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the first channel of each dump begins, and the width of its channels, in Hz.

    Raises
    ------
    UnprocessableData
        If the channels are not evenly spaced, or differ in width between dumps.
    """
    axis_hz = np.atleast_2d(dumps.axis.to_value(u.Hz))
    spacing_hz = (axis_hz[:, -1] - axis_hz[:, 0]) / max(axis_hz.shape[1] - 1, 1)
    even_hz = axis_hz[:, :1] + spacing_hz[:, None] * np.arange(axis_hz.shape[1])
    if np.any(spacing_hz == 0) or np.any(
        np.abs(axis_hz - even_hz) > _UNEVEN * np.abs(spacing_hz[:, None])
    ):
        raise UnprocessableData("the frequency axis is not evenly spaced")
    common_hz = np.median(spacing_hz)
    if np.any(np.abs(spacing_hz / common_hz - 1) > _UNEVEN):
        raise UnprocessableData(
            f"channels of the dumps are {spacing_hz.min():.1f} to {spacing_hz.max():.1f} Hz wide; "
            "expected one width"
        )
    number = len(dumps)
    low_hz = np.broadcast_to(axis_hz[:, 0] - spacing_hz / 2, number)
    return low_hz, np.broadcast_to(spacing_hz, number)


def _resampled(
    dumps: Spectra, start: NDArray[np.float64], step: NDArray[np.float64], channels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint16], NDArray[np.float64]]:
    """Return flux, variance, flags and the mean squared weights on the common axis.

    Where the common axis begins on the scale of the channels of each dump, and the width of its
    channels there.
    """
    flux = np.full((len(dumps), channels), np.nan, np.float32)
    variance = np.full(flux.shape, np.nan, np.float32)
    flags = np.full(flux.shape, FLAG_BITS["pointing"], np.uint16)
    squares = np.full(len(dumps), np.nan)
    outside = np.uint16(FLAG_BITS["bad_channel"])
    unknown = np.full(dumps.flux.shape[1], np.nan, np.float32)
    unflagged = np.zeros(dumps.flux.shape[1], np.uint16)

    def resample_rows(piece: slice) -> None:
        for row in range(piece.start, piece.stop):
            if np.isfinite(start[row]):
                squares[row] = resample(
                    dumps.flux[row],
                    unknown if dumps.variance is None else dumps.variance[row],
                    unflagged if dumps.flags is None else dumps.flags[row],
                    start[row],
                    step[row],
                    flux[row],
                    variance[row],
                    flags[row],
                    outside,
                )

    each(resample_rows, pieces(len(dumps)))
    return flux, variance, flags, squares
