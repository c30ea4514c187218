"""Plots of numbers over the jobs of a run."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from csstcore.report.summary import Series

INK: Final = "#1d3557"
OUT: Final = "#c1121f"
LIMIT: Final = "#b08900"
QUIET: Final = "#8a94a6"


def plot_trends(series: Iterable[Series], jobs: int) -> list[bytes]:
    """Plot each number over the job numbers.

    Parameters
    ----------
    series
        What to plot; limits are drawn as lines, values outside them in red.
    jobs
        How many jobs there are: the length of the horizontal axis.

    Returns
    -------
    list
        One PNG per number.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    pictures = []
    for one in series:
        figure = Figure(figsize=(4.2, 2.1), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        size = 22 if jobs <= 60 else 9 if jobs <= 600 else 3
        for good, colour in ((True, INK), (False, OUT)):
            chosen = [i for i, ok in enumerate(one.ok) if ok is good]
            axes.scatter(
                [one.numbers[i] for i in chosen],
                [one.values[i] for i in chosen],
                s=size,
                c=colour,
                linewidths=0,
                zorder=3,
                rasterized=True,
            )
        for limit in (one.minimum, one.maximum):
            if limit is not None:
                axes.axhline(limit, color=LIMIT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
        axes.set_xlim(0.5, jobs + 0.5)
        axes.margins(y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.grid(axis="y", color="#e6e9ef", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(QUIET)
        axes.tick_params(labelsize=7.5, colors="#4a5568", length=3)
        axes.set_xlabel("job", fontsize=7.5, color="#4a5568")
        buffer = BytesIO()
        figure.savefig(buffer, format="png")
        pictures.append(buffer.getvalue())
    return pictures
