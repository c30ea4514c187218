"""Parameters of the sources, and their images with derivatives by the parameters.

A row of parameters holds, by kind of source:

- point: x, y, flux
- Sersic: x, y, flux, ln r, g1, g2, ln n
- bulge and disk: x, y, then flux, ln r, g1, g2 of the disk, and the same of the bulge

Positions are 0-based pixels. The shape matrix is r^2 exp(G), G = [[g1, g2], [g2, -g1]]: its axes
are r exp(+-|g| / 2), so that the axis ratio is exp(-|g|), any g1 and g2 are allowed, and nothing
is singular where the source is round.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csst_imaging.galaxies.draw import FLUX, INDEX, XX, XY, YY, X, Y, add_gaussians
from csstcore.api import compiled

Floats = NDArray[np.float64]

POINT, SERSIC, BULGE_DISK = range(3)
MOST_PARAMETERS = 10
DISK, BULGE = 2, 6
"""First parameters of the two parts; those of a Sersic profile begin as the disk's."""

RADIUS, G1, G2, LN_INDEX = 1, 2, 3, 4
"""After the first parameter of a part."""

SMALLEST_G = 1e-6


@compiled
def parameter_count(kind: int) -> int:
    """Return how many parameters a kind of source has."""
    return 3 if kind == POINT else 7 if kind == SERSIC else 10


@compiled
def shape_matrix(ln_radius: float, g1: float, g2: float, out: Floats) -> None:
    """Write the elements xx, xy, yy of a shape, and their derivatives, to `out` (4, 3).

    Rows: the elements, their derivatives by ln r, g1, g2.
    """
    size = math.exp(2.0 * ln_radius)
    g = math.sqrt(g1 * g1 + g2 * g2)
    if g < SMALLEST_G:
        even, odd, bend = 1.0, 1.0, 1.0 / 3.0
    else:
        even, odd = math.cosh(g), math.sinh(g) / g
        bend = (even - odd) / (g * g)
    out[0, 0] = size * (even + odd * g1)
    out[0, 1] = size * odd * g2
    out[0, 2] = size * (even - odd * g1)
    for k in range(3):
        out[1, k] = 2.0 * out[0, k]
    out[2, 0] = size * (odd * g1 + bend * g1 * g1 + odd)
    out[2, 1] = size * bend * g1 * g2
    out[2, 2] = size * (odd * g1 - bend * g1 * g1 - odd)
    out[3, 0] = size * (odd * g2 + bend * g1 * g2)
    out[3, 1] = size * (bend * g2 * g2 + odd)
    out[3, 2] = size * (odd * g2 - bend * g1 * g2)


@compiled
def mixture_at(table: Floats, ln_index: float, out: Floats) -> None:
    """Write weights, variances and their derivatives by ln n to `out` (4, components).

    `table` is that of `sersic_table`, between whose rows all is linear in ln n.
    """
    rows = table.shape[0]
    step = math.log(12.0) / (rows - 1)  # ln(6 / 0.5)
    place = (ln_index - math.log(0.5)) / step
    row = min(max(int(place), 0), rows - 2)
    part = place - row
    for k in range(table.shape[2]):
        for j in range(2):
            slope = table[row + 1, j, k] - table[row, j, k]
            out[j, k] = table[row, j, k] + part * slope
            out[2 + j, k] = slope / step


@compiled
def part_of(kind: int, part: int, parameters: Floats) -> tuple[int, float]:
    """Return the first parameter of a part (-1 for a point) and its ln n."""
    if kind == POINT:
        return -1, 0.0
    if kind == SERSIC:
        return DISK, parameters[DISK + LN_INDEX]
    if part == 0:
        return DISK, 0.0
    return BULGE, math.log(4.0)


@compiled
def draw_part(
    planes: Floats,
    parameters: Floats,
    first: int,
    ln_index: float,
    table: Floats,
    psf: Floats,
    origin: NDArray[np.int64],
    row: Floats,
) -> Floats:
    """Write one part of a source, of flux 1, to planes; return its `shape_matrix`.

    Parameters
    ----------
    planes
        See `add_gaussians`.
    parameters
        Of the source.
    first, ln_index
        Of the part, see `part_of`.
    table
        Of `sersic_table`.
    psf
        Components at the source, shape (components, 6).
    origin
        Row and column of the first pixel of the planes.
    row
        Space for a row.
    """
    planes[:] = 0.0
    shape = np.zeros((4, 3))
    mixture = np.zeros((4, 1 if first < 0 else table.shape[2]))
    if first < 0:
        mixture[0, 0] = 1.0
    else:
        mixture_at(table, ln_index, mixture)
        g1, g2 = parameters[first + G1], parameters[first + G2]
        shape_matrix(parameters[first + RADIUS], g1, g2, shape)
    x, y = parameters[0] - origin[1], parameters[1] - origin[0]
    add_gaussians(planes, x, y, shape[0], mixture, psf, row)
    return shape


@compiled
def add_slopes(
    slopes: Floats,
    planes: Floats,
    parameters: Floats,
    first: int,
    shape: Floats,
    with_index: bool,
    weight: Floats,
) -> None:
    """Add derivatives by the parameters of a part, times the root of the weights.

    Parameters
    ----------
    slopes
        Shape (parameters, pixels); x and y are added to, the part's own rows are written.
    planes
        Of `draw_part`, shape (3 or 7, rows, columns).
    parameters
        Of the source.
    first
        First parameter of the part; negative for a point.
    shape
        Of `draw_part`.
    with_index
        Whether ln n is a parameter.
    weight
        Root of the weight of each pixel, shape (rows, columns).
    """
    _, rows, columns = planes.shape
    own = max(first, DISK)
    flux = parameters[own]
    for line in range(rows):
        for column in range(columns):
            pixel = line * columns + column
            w = weight[line, column]
            wf = w * flux
            slopes[0, pixel] += wf * planes[X, line, column]
            slopes[1, pixel] += wf * planes[Y, line, column]
            slopes[own, pixel] = w * planes[FLUX, line, column]
            if first < 0:
                continue
            xx, xy = planes[XX, line, column], planes[XY, line, column]
            yy = planes[YY, line, column]
            for k in range(1, 4):
                chain = shape[k, 0] * xx + shape[k, 1] * xy + shape[k, 2] * yy
                slopes[own + k, pixel] = wf * chain
            if with_index:
                slopes[own + LN_INDEX, pixel] = wf * planes[INDEX, line, column]


@compiled
def draw_source(
    kind: int,
    parameters: Floats,
    table: Floats,
    psf: Floats,
    origin: NDArray[np.int64],
    weight: Floats,
    model: Floats,
    slopes: Floats,
) -> None:
    """Write a source's image over its window, and the weighted derivatives.

    Parameters
    ----------
    kind
        `POINT`, `SERSIC` or `BULGE_DISK`.
    parameters
        Of the source.
    table
        Of `sersic_table`.
    psf
        Components at the source, shape (components, 6).
    origin
        Row and column of the first pixel of the window.
    weight
        Root of the weights, of the window's shape.
    model
        Written: the image of the source, of the window's shape.
    slopes
        Written, shape (parameters, pixels of the window).
    """
    rows, columns = weight.shape
    row = np.empty(columns)
    planes = np.empty((3 if kind == POINT else 7, rows, columns))
    slopes[:2] = 0.0
    model[:] = 0.0
    for part in range(2 if kind == BULGE_DISK else 1):
        first, ln_index = part_of(kind, part, parameters)
        shape = draw_part(planes, parameters, first, ln_index, table, psf, origin, row)
        add_slopes(slopes, planes, parameters, first, shape, kind == SERSIC, weight)
        model += parameters[max(first, DISK)] * planes[FLUX]


@compiled
def add_source(
    image: Floats,
    kind: int,
    parameters: Floats,
    table: Floats,
    psf: Floats,
    origin: NDArray[np.int64],
) -> None:
    """Add a source's light to an image; parameters as for `draw_source`."""
    rows, columns = image.shape
    row = np.empty(columns)
    planes = np.empty((1, rows, columns))
    for part in range(2 if kind == BULGE_DISK else 1):
        first, ln_index = part_of(kind, part, parameters)
        draw_part(planes, parameters, first, ln_index, table, psf, origin, row)
        image += parameters[max(first, DISK)] * planes[FLUX]
