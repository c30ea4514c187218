"""Maps: the jobs of a run at their places in a layout, coloured by status or by a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from csstcore.report.layout import LayoutModel, PlaceModel
from csstcore.report.summary import WORST_FIRST, Job, Series
from csstcore.report.text import number

MARKS: Final = {
    "done": "\u2713",
    "done with caveats": "!",
    "skipped": "\u2013",
    "blocked": "\u25a0",
    "failed": "\u2715",
}
"""Beside the colour of a status, for those who cannot tell the colours apart."""
COLOURS: Final = "cividis"
"""Looks nearly the same to people with any kind of colour vision (Nunez et al. 2018)."""
STOPS: Final = 16
WIDTH: Final = 960.0
"""Of a map, in units of its own; the page scales it."""
_DARK: Final = 0.18
"""Relative luminance below which white text stands out more than black."""


@dataclass(slots=True)
class Cell:
    """A place: left, top, width and height in units of the map."""

    box: tuple[float, float, float, float]
    value: str
    note: str
    jobs: Sequence[Job]
    text: str = ""
    mark: str = ""
    kind: str = ""
    """Class of the style sheet: the status, or nothing."""
    fill: str = ""
    ink: str = ""
    out: bool = False
    """Whether any of its jobs misses the limits."""


@dataclass(slots=True)
class Map:
    """A layout coloured by one quantity."""

    name: str
    cells: list[Cell]
    low: str = ""
    high: str = ""
    stops: list[str] = field(default_factory=list)
    """Colours from low to high; none for the status."""


@dataclass(slots=True)
class Picture:
    """A layout with its maps, the status first."""

    title: str
    key: str
    height: float
    maps: list[Map]


def draw_layout(
    model: LayoutModel, jobs: Sequence[Job], series: Iterable[Series]
) -> Picture | None:
    """Put the jobs of a run at their places.

    Where several jobs share a place it has their worst status and their median.

    Parameters
    ----------
    model
        The places.
    jobs
        Of the run.
    series
        Numbers over the jobs, of which those in ``show`` get a map.

    Returns
    -------
    Picture
        None if no job has a place.
    """
    head = model.layout
    at: dict[str, list[Job]] = {str(place.value): [] for place in model.place}
    for job in jobs:
        at.get(str(job.record["keys"].get(head.key)), []).append(job)
    if not any(at.values()):
        return None
    boxes, height = _boxes(model.place)

    def cells() -> list[Cell]:
        return [
            Cell(box, str(place.value), place.note, at[str(place.value)])
            for place, box in zip(model.place, boxes, strict=True)
        ]

    shown = {name: one for name in head.show for one in series if one.short_name == name}
    maps = [_status_map(cells()), *(_number_map(one, cells()) for one in shown.values())]
    return Picture(head.title, head.key, height, maps)


def _boxes(places: Sequence[PlaceModel]) -> tuple[list[tuple[float, float, float, float]], float]:
    """Return left, top, width and height of every place, and the height of the map."""
    left = min(place.x - place.width / 2 for place in places)
    right = max(place.x + place.width / 2 for place in places)
    top = max(place.y + place.height / 2 for place in places)
    bottom = min(place.y - place.height / 2 for place in places)
    scale = WIDTH / (right - left)
    boxes = [
        (
            scale * (place.x - place.width / 2 - left),
            scale * (top - place.y - place.height / 2),
            scale * place.width,
            scale * place.height,
        )
        for place in places
    ]
    return boxes, scale * (top - bottom)


def _status_map(cells: list[Cell]) -> Map:
    for cell in cells:
        if cell.jobs:
            status = min((job.record["status"] for job in cell.jobs), key=WORST_FIRST.index)
            cell.kind, cell.mark, cell.text = status.replace(" ", "-"), MARKS[status], status
            cell.out = any(job.checks_out for job in cell.jobs)
    return Map("status", cells)


def _number_map(one: Series, cells: list[Cell]) -> Map:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    found = dict(zip(one.numbers, zip(one.values, one.ok, strict=True), strict=True))
    values = {}
    for index, cell in enumerate(cells):
        mine = [found[job.number] for job in cell.jobs if job.number in found]
        if mine:
            values[index] = float(f"{median(value for value, _ in mine):.4g}")
            cell.out = not all(ok for _, ok in mine)
    low, high = min(values.values()), max(values.values())
    colours = colormaps[COLOURS]
    for index, value in values.items():
        colour = colours((value - low) / (high - low) if high > low else 0.5)
        cells[index].text = number(value)
        cells[index].fill = to_hex(colour)
        cells[index].ink = "#fff" if _luminance(*colour[:3]) < _DARK else "#000"
    stops = [to_hex(colours(k / (STOPS - 1))) for k in range(STOPS)]
    return Map(one.short_name.replace("_", " "), cells, number(low), number(high), stops)


def _luminance(red: float, green: float, blue: float) -> float:
    """Return an approximate relative luminance (sRGB taken as a power law)."""
    return float(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2)
