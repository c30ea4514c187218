"""The sky in the boxes of a mesh, and the smooth surface through them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from csstcore.api import compiled, each, pieces

BLOCK_PIXEL = 4
"""Sources are looked for on means of 4 x 4 pixels: fainter outskirts are seen, at less cost."""

SOURCE_SIGMA = 3.0
BRIGHT_SIGMA = 60.0
BRIGHT_BLOCKS = 8
"""Around blocks brighter than `BRIGHT_SIGMA` the wings are masked this far."""

CLIP_SIGMA = 3.0
CLIP_STEPS = 10
FEWEST_BLOCKS = 0.05
"""A box with less than this part of its blocks free of sources takes its level from others."""

SCATTER_STEP = 4
"""The scatter of the pixels is that of every fourth pixel of every fourth row."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """Equal boxes that cover an image."""

    shape: tuple[int, int]
    """Of the image."""
    rows: NDArray[np.intp]
    """Edges of the boxes along the columns of the image, pixel."""
    columns: NDArray[np.intp]


def boxes_of(shape: tuple[int, int], box_pixel: int) -> Boxes:
    """Return boxes as near to `box_pixel` as equal ones can be."""
    edges = []
    for size in shape:
        number = max(round(size / box_pixel), 1)
        edges.append(np.array([size * k // number for k in range(number + 1)], np.intp))
    return Boxes(shape, edges[0], edges[1])


def block_means(
    data: NDArray[np.float32], flags: NDArray[np.uint16] | None
) -> tuple[NDArray[np.float32], int]:
    """Return means of blocks of pixels, and the number of pixels that count.

    Parameters
    ----------
    data
        Image, shape (rows, columns).
    flags
        Flags of the same shape; flagged pixels and those without value do not count.

    Returns
    -------
    tuple
        Means, NaN where less than half of the block counts; pixels beyond the last whole
        block belong to none.
    """
    rows, columns = (max(size // BLOCK_PIXEL, 1) for size in data.shape)
    means = np.empty((rows, columns), np.float32)
    if flags is None:
        flags = np.zeros((1, data.shape[1]), np.uint16)
    counts = each(lambda run: mean_blocks(data, flags, run.start, run.stop, means), pieces(rows))
    return means, sum(counts)


@compiled
def mean_blocks(
    data: NDArray[np.float32],
    flags: NDArray[np.uint16],
    start: int,
    stop: int,
    means: NDArray[np.float32],
) -> int:
    """Fill the rows `start` to `stop` of the means of blocks; return the pixels that count."""
    rows, columns = data.shape
    side = min(BLOCK_PIXEL, rows, columns)
    total = np.empty(columns, np.float32)
    count = np.empty(columns, np.float32)
    free = 0
    for block in range(start, stop):
        total[:] = 0.0
        count[:] = 0.0
        for row in range(block * side, block * side + side):
            flag_row = row if flags.shape[0] > 1 else 0
            for column in range(columns):
                value = data[row, column]
                good = flags[flag_row, column] == 0 and math.isfinite(value)
                total[column] += value if good else np.float32(0.0)
                count[column] += np.float32(1.0) if good else np.float32(0.0)
        for n in range(means.shape[1]):
            signal = number = np.float32(0.0)
            for column in range(n * side, n * side + side):
                signal += total[column]
                number += count[column]
            free += int(number)
            means[block, n] = signal / number if 2 * number >= side * side else np.nan
    return free


def box_levels(
    means: NDArray[np.float32], boxes: Boxes, surface: NDArray[np.float32] | None
) -> tuple[NDArray[np.float64], float]:
    """Return the clipped mean of the blocks in each box, and the scatter of a block.

    Parameters
    ----------
    means
        See `block_means`; NaN does not count.
    boxes
        The mesh.
    surface
        Sky at the blocks, about which is clipped; without it about the median of each box.

    Returns
    -------
    tuple
        Levels, NaN in boxes with too few blocks; median of the scatters.
    """
    side = min(BLOCK_PIXEL, *boxes.shape)
    rows, columns = boxes.rows // side, boxes.columns // side
    levels = np.full((rows.size - 1, columns.size - 1), np.nan)
    scatters = np.full_like(levels, np.nan)
    known = surface is not None
    sky = surface if surface is not None else means

    def fill(run: slice) -> None:
        clip_boxes(means, sky, known, rows, columns, run.start, run.stop, levels, scatters)

    each(fill, pieces(rows.size - 1))
    found = np.isfinite(scatters)
    return levels, float(np.median(scatters[found])) if found.any() else math.nan


@compiled
def clip_boxes(
    means: NDArray[np.float32],
    surface: NDArray[np.float32],
    known: bool,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    start: int,
    stop: int,
    levels: NDArray[np.float64],
    scatters: NDArray[np.float64],
) -> None:
    """Fill levels and scatters of the boxes in the rows `start` to `stop` of the mesh."""
    for j in range(start, stop):
        for i in range(columns.size - 1):
            step = 1 if known else 2
            size = (rows[j + 1] - rows[j]) * (columns[i + 1] - columns[i])
            values = np.empty(size, np.float64)
            number = 0
            base = 0.0
            for row in range(rows[j], rows[j + 1]):
                for column in range(columns[i], columns[i + 1], step):
                    value = means[row, column]
                    if math.isfinite(value):
                        if known:
                            value -= surface[row, column]
                            base += surface[row, column]
                        values[number] = value
                        number += 1
            if number < max(FEWEST_BLOCKS * size, 1):
                continue
            values = values[:number]
            center = 0.0
            if known:
                base /= number
                spread = math.sqrt(np.mean(values * values))
            else:
                center = np.median(values)
                spread = 1.4826 * np.median(np.abs(values - center))
            level, scatter = clipped_mean(values, center, spread)
            levels[j, i] = base + level
            scatters[j, i] = scatter


@compiled
def clipped_mean(values: NDArray[np.float64], center: float, spread: float) -> tuple[float, float]:
    """Return mean and standard deviation within `CLIP_SIGMA` of them, by iteration."""
    number = -1
    for _ in range(CLIP_STEPS):
        total = square = 0.0
        inside = 0
        for value in values:
            offset = value - center
            if abs(offset) <= CLIP_SIGMA * spread:
                total += offset
                square += offset * offset
                inside += 1
        if inside == 0 or inside == number:
            break
        number = inside
        mean = total / inside
        center += mean
        spread = math.sqrt(max(square / inside - mean * mean, 0.0))
    return center, spread


def blank_sources(
    means: NDArray[np.float32], surface: NDArray[np.float32], scatter: float
) -> NDArray[np.float32]:
    """Return the means of blocks without sources and their wings (NaN there).

    Parameters
    ----------
    means
        See `block_means`.
    surface
        First estimate of the sky at the blocks.
    scatter
        Standard deviation of a block of sky.
    """
    blank = means.copy()
    each(
        lambda run: blank_rows(means, surface, scatter, run.start, run.stop, blank),
        pieces(len(means)),
    )
    return blank


@compiled
def blank_rows(
    means: NDArray[np.float32],
    surface: NDArray[np.float32],
    scatter: float,
    start: int,
    stop: int,
    blank: NDArray[np.float32],
) -> None:
    """Blank around the sources of the rows `start` to `stop`."""
    rows, columns = means.shape
    faint, bright = np.float32(SOURCE_SIGMA * scatter), np.float32(BRIGHT_SIGMA * scatter)
    for row in range(start, stop):
        for column in range(columns):
            signal = means[row, column] - surface[row, column]
            if not signal > faint:
                continue
            reach = BRIGHT_BLOCKS if signal > bright else 1
            for j in range(max(row - reach, 0), min(row + reach + 1, rows)):
                width = reach - abs(j - row)
                for i in range(max(column - width, 0), min(column + width + 1, columns)):
                    blank[j, i] = np.nan


def pixel_scatter(
    data: NDArray[np.float32],
    surface: NDArray[np.float32],
    blank: NDArray[np.float32],
    boxes: Boxes,
) -> NDArray[np.float64]:
    """Return the standard deviation of the pixels of free blocks in each box.

    Parameters
    ----------
    data
        Image, shape (rows, columns).
    surface
        Its sky, same shape.
    blank
        See `blank_sources`; NaN blocks do not count.
    boxes
        The mesh.
    """
    scatters = np.full((boxes.rows.size - 1, boxes.columns.size - 1), np.nan)

    def fill(run: slice) -> None:
        scatter_boxes(
            data, surface, blank, boxes.rows, boxes.columns, run.start, run.stop, scatters
        )

    each(fill, pieces(len(scatters)))
    return scatters


@compiled
def scatter_boxes(
    data: NDArray[np.float32],
    surface: NDArray[np.float32],
    blank: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    start: int,
    stop: int,
    scatters: NDArray[np.float64],
) -> None:
    """Fill the scatters of the boxes in the rows `start` to `stop` of the mesh."""
    side = min(BLOCK_PIXEL, data.shape[0], data.shape[1])
    for j in range(start, stop):
        for i in range(columns.size - 1):
            values = np.empty((rows[j + 1] - rows[j]) * (columns[i + 1] - columns[i]), np.float64)
            number = 0
            step = SCATTER_STEP if values.size > 4096 else 1
            for row in range(rows[j], rows[j + 1], step):
                block = min(row // side, blank.shape[0] - 1)
                for column in range(columns[i], columns[i + 1], step):
                    value = data[row, column] - surface[row, column]
                    sky = blank[block, min(column // side, blank.shape[1] - 1)]
                    if math.isfinite(value) and math.isfinite(sky):
                        values[number] = value
                        number += 1
            if number > 1:
                values = values[:number]
                spread = 1.4826 * np.median(np.abs(values))
                if spread == 0.0:
                    spread = math.sqrt(np.mean(values * values))
                scatters[j, i] = clipped_mean(values, 0.0, spread)[1]


def filtered(levels: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the medians of `width` x `width` boxes; NaN boxes take them from their neighbours.

    Parameters
    ----------
    levels
        One value per box; at least one is finite.
    width
        Width of the filter, in boxes.
    """
    while True:
        half = max(width // 2, 1) if np.isnan(levels).any() else width // 2
        padded = np.pad(levels, half, constant_values=np.nan)
        windows = sliding_window_view(padded, (2 * half + 1, 2 * half + 1))
        flat = windows.reshape(*levels.shape, -1)
        known = np.isfinite(flat).any(axis=-1)
        result = np.full(levels.shape, np.nan)
        result[known] = np.nanmedian(flat[known], axis=-1)
        if known.all():
            return result
        levels = result


def surface(levels: NDArray[np.float64], boxes: Boxes, step: int = 1) -> NDArray[np.float32]:
    """Return the bicubic spline through the centres of the boxes.

    Parameters
    ----------
    levels
        One finite value per box.
    boxes
        The mesh.
    step
        Side of the blocks at whose centres the surface is wanted, pixel; 1 for every pixel.
    """
    rows, columns = (size // step for size in boxes.shape)
    across = spline(boxes.columns, levels.T)(places(columns, step)).T
    along = spline(boxes.rows, across)
    y = places(rows, step)
    section = np.clip(np.searchsorted(along.x, y, side="right") - 1, 0, along.x.size - 2)
    offset = (y - along.x[section]).astype(np.float32)
    terms = np.ascontiguousarray(along.c, np.float32)
    result = np.empty((rows, columns), np.float32)
    each(lambda run: draw_rows(terms, section, offset, run.start, run.stop, result), pieces(rows))
    return result


def places(number: int, step: int) -> NDArray[np.float64]:
    """Return the centres of blocks along an axis, 0-based pixel."""
    return np.asarray(np.arange(number) * step + (step - 1) / 2.0, np.float64)


def spline(edges: NDArray[np.intp], levels: NDArray[np.float64]) -> CubicSpline:
    """Return the natural spline through the centres of boxes along the first axis."""
    nodes = (edges[1:] + edges[:-1] - 1) / 2.0
    if nodes.size == 1:
        nodes, levels = np.append(nodes, nodes + 1.0), np.repeat(levels, 2, axis=0)
    return CubicSpline(nodes, levels, bc_type="natural")


@compiled
def draw_rows(
    terms: NDArray[np.float32],
    section: NDArray[np.intp],
    offset: NDArray[np.float32],
    start: int,
    stop: int,
    result: NDArray[np.float32],
) -> None:
    """Evaluate a cubic spline along the columns in the rows `start` to `stop`."""
    for row in range(start, stop):
        t = offset[row]
        cubic, square, slope, level = terms[:, section[row]]
        out = result[row]
        for column in range(out.size):
            out[column] = level[column] + t * (
                slope[column] + t * (square[column] + t * cubic[column])
            )
