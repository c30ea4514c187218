"""Pictures of dumps and of the load calibration for the report."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from csst_hstdm.dump_rows import numbers, rows_of, seconds
from csst_hstdm.medians import finite_median
from csst_hstdm.scatter import scatter_about_zero
from csstcore.api import NotApplicable, Spectra, Table

PICTURE = (400, 800)
"""Largest rows and columns of a waterfall."""


def waterfall(dumps: Spectra) -> Figure:
    """Picture of the dumps in the order of time, by frequency.

    Parameters
    ----------
    dumps
        Level 1; means over neighbouring dumps and channels, without flagged samples and without
        the median of each dump. Colours reach five times the scatter.
    """
    if not len(dumps):
        raise NotApplicable("there are no dumps")
    picture = _binned(dumps)
    deviation = np.abs(picture[np.isfinite(picture)])
    limit = 5 * scatter_about_zero(deviation) if len(deviation) else 1.0
    time_s = seconds(rows_of(dumps))
    hours = (np.nanmax(time_s) - np.nanmin(time_s)) / 3600 if np.isfinite(time_s).any() else 0.0
    axis_ghz = dumps.axis.to_value(u.GHz)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(
        picture,
        aspect="auto",
        interpolation="nearest",
        extent=(axis_ghz[0], axis_ghz[-1], len(dumps), 0),
        vmin=-limit or -1.0,
        vmax=limit or 1.0,
        cmap="coolwarm",
    )
    figure.colorbar(image, ax=axes, label=f"minus median [{dumps.unit}]")
    frame = rows_of(dumps)["frame"][0] if "frame" in rows_of(dumps).colnames else "topocentric"
    axes.set(xlabel=f"frequency [GHz], {frame}", ylabel=f"dump, {hours:.2f} h from first to last")
    return figure


def load_calibration(load_gain: Table) -> Figure:
    """Receiver temperature by channel, and the gain of the band over time.

    Parameters
    ----------
    load_gain
        Of `solve_loads`.
    """
    table = load_gain.table
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2)
    t_rec = np.asarray(table["t_rec"].to_value(u.K), float)
    above.plot([finite_median(channel) for channel in t_rec.T], linewidth=0.5)
    above.set(xlabel="channel", ylabel="receiver temperature [K]")
    tuning = numbers(table, "lo_frequency", u.Hz)
    for lo_hz in np.unique(tuning):
        here = tuning == lo_hz
        gamma = np.asarray(table["gamma"][here].value, float)
        minutes = (seconds(table[here]) - seconds(table)[0]) / 60
        change = [100 * (finite_median(line / gamma[0]) - 1) for line in gamma]
        below.plot(minutes, change, "o-", label=f"LO {lo_hz / 1e9:.4f} GHz")
    below.set(xlabel="time [min]", ylabel="change of gain [%]")
    below.legend()
    return figure


def _binned(dumps: Spectra) -> NDArray[np.float64]:
    """Return means over neighbouring dumps and channels; NaN without a good sample."""
    rows, channels = (min(size, most) for size, most in zip(dumps.flux.shape, PICTURE, strict=True))
    row_edges = np.linspace(0, len(dumps), rows + 1).astype(int)
    starts = np.linspace(0, dumps.flux.shape[1], channels + 1).astype(int)[:-1]
    picture = np.full((rows, channels), np.nan)
    for index in range(rows):
        part = slice(row_edges[index], row_edges[index + 1])
        flux = dumps.flux[part].astype(float)
        good = np.isfinite(flux)
        if dumps.flags is not None:
            good &= dumps.flags[part] == 0
        if not good.any():
            continue
        flux -= np.median(flux[good])
        total = np.add.reduceat(np.where(good, flux, 0.0).sum(axis=0), starts)
        number = np.add.reduceat(good.sum(axis=0), starts)
        with np.errstate(invalid="ignore", divide="ignore"):
            picture[index] = total / number
    return picture
