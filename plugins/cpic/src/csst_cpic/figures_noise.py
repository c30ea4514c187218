"""Picture of the noise of a series and of the model of the register."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from csst_cpic.register.em_statistics import Array
from csstcore.api import Table

PEAK_BINS = 64
"""First bins, which show the read noise."""


def noise_histogram(noise: Table) -> Figure:
    """Histogram of the signal where light is even, with the model of the register.

    Parameters
    ----------
    noise
        Of `measure_noise`: to the left the peak of the read noise, to the right all of it.
    """
    table = noise.table
    edges = np.append(table["low"].to_value(u.electron), table["high"][-1].to_value(u.electron))
    width = np.diff(edges)
    pixels, model = (np.asarray(table[name], float) / width for name in ("pixels", "model"))
    figure = Figure(figsize=(10, 4), layout="constrained")
    peak, whole = figure.subplots(1, 2)
    first = slice(0, PEAK_BINS)
    _steps(peak, edges[: PEAK_BINS + 1], pixels[first], model[first])
    peak.set(xlabel="output electrons", ylabel="pixels / electron", title="read noise")
    _steps(whole, edges, pixels, model)
    whole.set_yscale("log")
    whole.set_ylim(bottom=0.3 / width.max())
    seen = np.flatnonzero(np.maximum(table["pixels"], table["model"]) > 0.5)
    whole.set_xlim(edges[0], edges[seen[-1] + 1 if seen.size else -1])
    gain = noise.meta.em_gain
    title = "all signals" if gain is None else f"all signals, EM gain {float(gain):.4g}"
    whole.set(xlabel="output electrons", title=title)
    whole.legend()
    return figure


def _steps(axes: Axes, edges: Array, pixels: Array, model: Array) -> None:
    axes.stairs(pixels, edges, fill=True, color="0.75", label="pixels")
    axes.stairs(model, edges, color="C3", linewidth=1.2, label="model")
