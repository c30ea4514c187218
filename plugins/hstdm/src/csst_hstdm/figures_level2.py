"""Pictures of averaged spectra, maps and moments for the report."""

from __future__ import annotations

import warnings

import astropy.units as u
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from csst_hstdm.common_axis import velocity_km_s
from csst_hstdm.dump_rows import numbers
from csst_hstdm.line_windows import find_lines_in_dumps, widest_channel
from csst_hstdm.moment_maps import MomentMaps
from csst_hstdm.spectral_map import SpectralMap
from csstcore.api import NotApplicable, Spectra

_SMOOTH = 16


def average_spectrum(spectrum: Spectra) -> Figure:
    """Average spectrum and the same smoothed, with the windows of its lines.

    Parameters
    ----------
    spectrum
        Of `average_spectra`: its baseline is zero.
    """
    if spectrum.rows is None or not np.isfinite(spectrum.flux[0]).any():
        raise NotApplicable("the spectrum has no good channel")
    flux = spectrum.flux[:1]
    rest_hz = numbers(spectrum.rows, "rest_frequency", u.Hz)[0]
    velocity = velocity_km_s(spectrum.axis.to_value(u.Hz), rest_hz)
    valid = np.isfinite(flux)
    windows = find_lines_in_dumps(
        np.nan_to_num(flux), valid, widest_channel=widest_channel(velocity)
    )[0]
    box = np.ones(_SMOOTH)
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = np.convolve(np.nan_to_num(flux[0]), box, "same") / np.convolve(
            valid[0], box, "same"
        )
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(velocity, flux[0], linewidth=0.3, color="0.6", label="channels")
    axes.plot(velocity, smooth, linewidth=0.8, label=f"mean of {_SMOOTH}")
    axes.axhline(0.0, linewidth=0.5, color="k")
    low, high = np.nanmin(smooth), np.nanmax(smooth)
    axes.fill_between(
        velocity, low, high, where=list(windows), alpha=0.15, step="mid", label="line windows"
    )
    axes.set(xlabel=f"velocity [km/s], rest {rest_hz / 1e9:.4f} GHz", ylabel=f"T [{spectrum.unit}]")
    axes.legend(loc="upper right")
    return figure


def map_and_weight(cube: SpectralMap) -> Figure:
    """Brightest channel of each pixel of a map, and its weights.

    Parameters
    ----------
    cube
        Of `grid_spectra`; means over sixteen channels.
    """
    if cube.weight is None:
        raise NotApplicable("the cube carries no weights")
    size = max(min(_SMOOTH, len(cube.data) // 4), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pixels without any data
        peak = np.full(cube.data.shape[1:], np.nan)
        for start in range(0, len(cube.data) - size + 1, size):
            peak = np.fmax(peak, np.nanmean(cube.data[start : start + size], axis=0))
    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _show(figure, left, peak, f"brightest mean of {size} channels [{cube.unit}]")
    weight = cube.weight.to_value(cube.weight.unit)
    _show(figure, right, np.where(weight > 0, weight, np.nan), f"weight [{cube.weight.unit}]")
    return figure


def moment_maps(moments: MomentMaps) -> Figure:
    """Integrated intensity, mean velocity and width of a line on the sky.

    Parameters
    ----------
    moments
        Of `make_moments`.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    parts = (moments.moment_0, moments.moment_1, moments.moment_2)
    for axes, name, plane in zip(figure.subplots(1, 3), ("M0", "M1", "M2"), parts, strict=True):
        _show(figure, axes, plane.value, f"{name} [{plane.unit}]")
    figure.suptitle(moments.line or "strongest line")
    return figure


def _show(figure: Figure, axes: Axes, plane: NDArray[np.float32], label: str) -> None:
    finite = plane[np.isfinite(plane)]
    low, high = np.percentile(finite, [1.0, 99.0]) if finite.size else (0.0, 1.0)
    image = axes.imshow(plane, origin="lower", vmin=low, vmax=high, interpolation="nearest")
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    axes.set(xlabel="x [pixel]", ylabel="y [pixel]")
