"""Lines of an averaged spectrum, with names."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.common_axis import common_axis, resampled_variance, velocity_km_s
from csst_hstdm.fitted_baseline import FittedBaseline, fitted_baseline
from csst_hstdm.line_list import LineList
from csst_hstdm.line_search import Gaussian, Peak, fit_gaussian, gaussian, search
from csstcore.api import Reference, Spectra, Table, UnprocessableData, caveat, metric

Positive = Annotated[float, Field(gt=0)]
AREA = np.sqrt(np.pi / (4 * np.log(2)))
"""Integral of a Gaussian of peak 1 and full width 1 at half maximum."""
_UNITS = {
    "frequency": u.Hz,
    "frequency_error": u.Hz,
    "velocity": u.km / u.s,
    "velocity_error": u.km / u.s,
    "fwhm": u.km / u.s,
    "fwhm_error": u.km / u.s,
    "peak": u.K,
    "peak_error": u.K,
    "flux": u.K * u.km / u.s,
    "flux_error": u.K * u.km / u.s,
    "flux_sum": u.K * u.km / u.s,
    "flux_sum_error": u.K * u.km / u.s,
    "rest_frequency": u.Hz,
}


def find_lines(
    spectrum: Spectra,
    line_list: Reference[LineList],
    *,
    threshold: Positive = 5.0,
    narrowest_km_s: Positive = 0.2,
    widest_km_s: Positive = 100.0,
    source_velocity_km_s: float = 0.0,
    most: Annotated[int, Field(ge=1, le=1000)] = 50,
) -> Annotated[Table, "lines"]:
    """Find lines in an averaged spectrum, fit Gaussians and name them.

    Lines are found by matched filters of all widths, one after the other. Errors follow from
    the variances, and allow for noise that channels share since they were resampled, and for the
    baseline, which is interpolated beneath a line. Lines that blend, closer than about two
    widths, come out as one with a large chi_square.

    Parameters
    ----------
    spectrum
        One spectrum without baseline.
    line_list
        Transitions to name lines after.
    threshold
        Least significance, absorption too.
    narrowest_km_s, widest_km_s
        Full widths at half maximum that are searched.
    source_velocity_km_s
        Lines are named after transitions within `largest_velocity_km_s` of the list around this
        velocity, the nearest first.
    most
        Largest number of lines.

    Returns
    -------
    Table
        One row per line in the order of significance: name (empty if unknown), others (further
        transitions that it may be, with velocities; said as a caveat too), frequency,
        velocity (to the rest frequency of the name, else of the observation), fwhm, peak, flux
        of the Gaussian with errors, flux_sum within one and a half widths, chi_square.
    """
    if len(spectrum) != 1:
        raise UnprocessableData(f"found {len(spectrum)} spectra, expected one average")
    if spectrum.variance is None:
        raise UnprocessableData("the spectrum carries no variance")
    axis = common_axis([spectrum])
    flux, variance = spectrum.flux[0].astype(float), spectrum.variance[0].astype(float)
    if spectrum.flags is not None:
        flux[spectrum.flags[0] != 0] = np.nan
    step_hz = axis.frequency_hz[1] - axis.frequency_hz[0]
    step_km_s = abs(299792.458 * step_hz / axis.rest_frequency_hz)
    shared = resampled_variance([spectrum])
    peaks = search(
        flux,
        variance / shared,
        threshold=threshold,
        narrowest_channel=max(narrowest_km_s / step_km_s, 1.0),
        widest_channel=min(widest_km_s / step_km_s, len(flux) / 4),
        most=most,
    )
    fits = _fitted(flux, variance / shared, peaks)
    baseline = fitted_baseline(spectrum, variance / shared, [fit for fit in fits if fit])
    rows = []
    for peak, line in zip(peaks, fits, strict=True):
        if line is None:
            caveat(f"the line at channel {peak.channel:.0f} has no fit and is left out")
            continue
        row = _row(line, peak, flux, variance / shared, baseline, axis.frequency_hz, step_km_s)
        frequency_hz = float(axis.frequency_hz[0] + line.values[1] * step_hz)
        rest = axis.rest_frequency_hz
        named = line_list.candidates(frequency_hz, source_velocity_km_s)
        if named:
            name, rest, velocity = named[0][0].name, named[0][0].frequency_hz, named[0][1]
        else:
            name, velocity = "", float(velocity_km_s(np.array(frequency_hz), rest))
        row |= {"name": name, "rest_frequency": rest, "velocity": velocity}
        row["frequency"] = frequency_hz
        row["others"] = ", ".join(f"{other.name} {at:+.0f} km/s" for other, at in named[1:])
        if row["others"]:
            caveat(
                f"the line at {frequency_hz / 1e9:.4f} GHz is called {name} at {velocity:+.0f} "
                f"km/s; it may be {row['others']}: give source_velocity_km_s"
            )
        rows.append(row)
    metric("lines", len(rows))
    return Table(_table(rows), spectrum.meta)


def _fitted(
    flux: NDArray[np.float64], variance: NDArray[np.float64], peaks: list[Peak]
) -> list[Gaussian | None]:
    """Return the fits of all lines, each without its neighbours' first fits."""
    channels = np.arange(len(flux), dtype=float)
    good = np.isfinite(flux) & np.isfinite(variance) & (variance > 0)
    weight = np.where(good, 1 / np.where(good, variance, 1.0), 0.0)
    clean = np.where(good, flux, 0.0)
    fits: list[Gaussian | None] = [None] * len(peaks)
    for _ in range(2):
        for k, peak in enumerate(peaks):
            others = sum(
                (
                    gaussian(f.values, channels)
                    for j, f in enumerate(fits)
                    if f is not None and j != k
                ),
                np.zeros_like(channels),
            )
            near = np.abs(channels - peak.channel) < 3 * peak.fwhm_channel
            fits[k] = fit_gaussian(channels[near], (clean - others)[near], weight[near], peak)
    return fits


def _row(
    line: Gaussian,
    peak: Peak,
    flux: NDArray[np.float64],
    variance: NDArray[np.float64],
    baseline: FittedBaseline | None,
    axis_hz: NDArray[np.float64],
    step_km_s: float,
) -> dict[str, float | str]:
    height, channel, width = line.values
    covariance, beneath = line.covariance, 0.0
    slope = np.array([width, 0.0, height]) * AREA * step_km_s
    inside = np.abs(np.arange(len(flux)) - channel) < max(1.5 * width, 1.0)
    good = inside & np.isfinite(flux) & np.isfinite(variance)
    if baseline is not None:
        covariance = covariance + baseline.covariance_of_line(line, variance)
        beneath = baseline.variance_of_sum(good)
    error = np.sqrt(np.diag(covariance))
    step_hz = axis_hz[1] - axis_hz[0]
    return {
        "significance": peak.significance,
        "frequency_error": float(error[1] * abs(step_hz)),
        "velocity_error": float(error[1] * step_km_s),
        "fwhm": float(width * step_km_s),
        "fwhm_error": float(error[2] * step_km_s),
        "peak": float(height),
        "peak_error": float(error[0]),
        "flux": float(height * width * AREA * step_km_s),
        "flux_error": float(np.sqrt(slope @ covariance @ slope)),
        "flux_sum": float(flux[good].sum() * step_km_s),
        "flux_sum_error": float(np.sqrt(variance[good].sum() + beneath) * step_km_s),
        "chi_square": line.chi_square,
    }


_TEXTS = ("name", "others")
_COLUMNS = ("name", "significance", *_UNITS, "chi_square", "others")


def _table(rows: list[dict[str, float | str]]) -> QTable:
    table = QTable()
    for name in _COLUMNS:
        values = [row[name] for row in rows]
        if name in _TEXTS:
            table[name] = np.array(values, dtype=str if values else "U1")
        else:
            table[name] = np.array(values, dtype=float) * _UNITS.get(name, 1)
    return table
