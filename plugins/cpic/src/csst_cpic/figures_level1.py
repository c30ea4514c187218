"""Pictures of the quality of a series of frames."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from csstcore.api import Table

_BESIDE: dict[str, Any] = {"fontsize": "small", "loc": "center left", "bbox_to_anchor": (1.01, 0.5)}


def frame_quality(summary: Table) -> Figure:
    """Bias level, noise and flags of every frame.

    Parameters
    ----------
    summary
        Of `compare_frames`.
    """
    table = summary.table
    frame = np.asarray(table["frame"])
    figure = Figure(figsize=(9, 7), layout="constrained")
    level, noise, pull, flags = figure.subplots(4, sharex=True)
    _points(level, frame, table["bias_level"].to_value(u.adu), "level")
    level.set(ylabel="bias [adu]")
    _points(noise, frame, table["zone_noise"].to_value(u.electron), "scatter in the dark zone")
    _points(noise, frame, table["zone_error"].to_value(u.electron), "expected")
    noise.set(ylabel="noise [electron]")
    noise.set_ylim(0, 1.1 * noise.get_ylim()[1])
    noise.legend(**_BESIDE)
    _points(pull, frame, np.asarray(table["pull"]), "pull")
    pull.axhline(1, color="0.6", linewidth=1)
    pull.set(ylabel="scatter between\nframes / error")
    for name, label in (
        ("defects", "bad, hot, warm"),
        ("saturated", "saturated"),
        ("cosmic_ray", "cosmic rays"),
    ):
        _points(flags, frame, np.asarray(table[name]), label)
    flags.set(xlabel="frame", ylabel="flagged pixels")
    flags.set_yscale("symlog", linthresh=1)
    flags.set_ylim(bottom=0)
    flags.legend(**_BESIDE)
    flags.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _points(axes: Axes, frame: NDArray[Any], values: NDArray[Any], label: str) -> None:
    axes.plot(frame, values, ".", markersize=5, label=label)
