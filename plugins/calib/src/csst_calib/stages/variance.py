"""Variance from read noise and a smoothed signal model."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import median_filter

from csst_calib.agreement import per_channel, require_readout, require_unit
from csst_calib.readout import Channel, Readout
from csstcore.api import Image, InPlace, Reference, compiled, each, replace


def estimate_variance(
    image: InPlace[Image],
    readout: Reference[Readout],
    *,
    photon_noise: bool = True,
    mesh_pixel: Annotated[int, Field(ge=8)] = 64,
    source_sigma: Annotated[float, Field(ge=1)] = 4.0,
) -> Image:
    """Add read noise and photon noise to the variance.

    The place of this stage is after `subtract_dark` (in electrons, what is left is light)
    and before `divide_flat` (photon noise belongs to the electrons that were collected).
    By then `subtract_bias` and `subtract_dark` have put in the variances of their
    references and the photon noise of the dark current.

    A variance taken from the noisy pixel itself is small where the noise is negative, and
    weighted means are biased low. So the signal is a model: the sky, by medians of a mesh;
    and where a 3 x 3 binomial mean (weights 1-2-1) exceeds the sky by `source_sigma` of its
    own noise, that mean. It keeps the total signal of a star, and so the variance of its
    aperture flux.

    Parameters
    ----------
    image
        Image in electrons; its variance is changed in place, or made.
    readout
        Geometry of the channels, for their read noise ``image.meta.read_noise``.
    photon_noise
        False for bias frames, whose level is no light.
    mesh_pixel
        Size of a mesh cell of the sky.
    source_sigma
        Significance from which a smoothed pixel counts as a source.

    Raises
    ------
    UnprocessableData
        If the image is not in electrons or has no read noise.
    """
    require_unit(image, u.electron)
    require_readout(image, readout)
    noise = per_channel(image.meta.read_noise, u.electron, readout, "read noise")
    variance = np.zeros(image.shape, np.float32) if image.variance is None else image.variance
    mesh = sky_mesh(image.data, mesh_pixel) if photon_noise else np.zeros((1, 1), np.float32)

    def add(part: tuple[Channel, np.float32]) -> None:
        channel, sigma = part
        read_variance = np.float32(sigma) ** 2
        variance[channel.active] += read_variance
        if photon_noise:
            rows, columns = channel.active
            region = rows.start, rows.stop, columns.start, columns.stop
            limit = np.float32(source_sigma)
            _add_photon_noise(image.data, mesh, region, read_variance, limit, variance)

    each(add, zip(readout, noise, strict=True))
    return replace(image, variance=variance)


def sky_mesh(data: NDArray[np.float32], cell_pixel: int) -> NDArray[np.float32]:
    """Return `cell_medians` smoothed by a 3 x 3 median: cells full of a star drop out."""
    mesh = cell_medians(data, cell_pixel)
    return np.asarray(median_filter(mesh, size=3, mode="nearest"), np.float32)


def cell_medians(data: NDArray[np.float32], cell_pixel: int) -> NDArray[np.float32]:
    """Return the median of every cell, from a quarter of its pixels.

    Cells are as equal as the shape allows; shape (cells in y, cells in x).
    """
    y_edges, x_edges = (
        np.linspace(0, size, max(1, size // cell_pixel) + 1).astype(int) for size in data.shape
    )
    strips = each(
        lambda j: _strip_medians(data[y_edges[j] : y_edges[j + 1] : 2], x_edges),
        range(len(y_edges) - 1),
    )
    return np.stack(strips)


@compiled
def _strip_medians(strip: NDArray[np.float32], edges: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the medians of cells side by side, of every second column; NaN if one is in it."""
    medians = np.empty(len(edges) - 1, np.float32)
    for i in range(len(medians)):
        cell = strip[:, edges[i] : edges[i + 1] : 2].copy()
        medians[i] = np.nan if np.isnan(cell).any() else np.median(cell)
    return medians


@compiled
def _add_photon_noise(
    data: NDArray[np.float32],
    mesh: NDArray[np.float32],
    region: tuple[int, int, int, int],
    read_variance: np.float32,
    source_sigma: np.float32,
    variance: NDArray[np.float32],
) -> None:
    """Add the signal model (one electron of signal is one of variance) to a region in place."""
    rows, columns = data.shape
    cells_y, cells_x = mesh.shape
    kernel_square = np.float32(0.140625)  # sum of the squared weights of the 3 x 3 mean
    first_row, last_row, first_column, last_column = region
    count = last_column - first_column
    cells, weights = _mesh_columns(first_column, count, columns, cells_x)
    sky, smooth = np.empty(count, np.float64), np.empty(count, np.float64)
    for y in range(first_row, last_row):
        v = min(max((y + 0.5) * cells_y / rows - 0.5, 0.0), cells_y - 1.0)
        j = min(int(v), max(cells_y - 2, 0))
        dv = np.float32(v - j)
        lower, upper = mesh[j], mesh[min(j + 1, cells_y - 1)]
        for k in range(count):
            i, dw = cells[k], weights[k]
            next_i = min(i + 1, cells_x - 1)
            low = lower[i] * (1 - dw) + lower[next_i] * dw
            high = upper[i] * (1 - dw) + upper[next_i] * dw
            sky[k] = max(low * (1 - dv) + high * dv, np.float32(0))
        above, below = data[max(y - 1, 0)], data[min(y + 1, rows - 1)]
        _binomial_mean(above, data[y], below, first_column, smooth)
        signal = variance[y, first_column:last_column]
        for k in range(count):
            limit = source_sigma * np.sqrt((read_variance + sky[k]) * kernel_square)
            signal[k] += np.float32(smooth[k] if smooth[k] - sky[k] > limit else sky[k])


@compiled
def _mesh_columns(
    first: int, count: int, columns: int, cells: int
) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """Return for pixels in a row the cell of the mesh before each, and the weight of the next."""
    before, weights = np.empty(count, np.uint64), np.empty(count, np.float32)
    for k in range(count):
        w = min(max((first + k + 0.5) * cells / columns - 0.5, 0.0), cells - 1.0)
        before[k] = min(int(w), max(cells - 2, 0))
        weights[k] = np.float32(w - before[k])
    return before, weights


@compiled
def _binomial_mean(
    above: NDArray[np.float32],
    row: NDArray[np.float32],
    below: NDArray[np.float32],
    first: int,
    smooth: NDArray[np.float64],
) -> None:
    """Fill in the 3 x 3 mean with weights 1-2-1; at the edges pixels count twice."""
    count, last = len(smooth), len(row) - 1
    start, stop = max(first, 1), min(first + count, last)
    inner = smooth[start - first : stop - first]
    for k in range(len(inner)):
        x = start + k
        inner[k] = _weighted(above, row, below, x - 1, x, x + 1)
    if first == 0:
        smooth[0] = _weighted(above, row, below, 0, 0, min(1, last))
    if first + count == last + 1:
        smooth[count - 1] = _weighted(above, row, below, max(last - 1, 0), last, last)


@compiled
def _weighted(
    above: NDArray[np.float32],
    row: NDArray[np.float32],
    below: NDArray[np.float32],
    left: int,
    x: int,
    right: int,
) -> float:
    corners = above[left] + above[right] + below[left] + below[right]
    sides = above[x] + below[x] + row[left] + row[right]
    mean: float = 0.0625 * (corners + 2 * sides + 4 * row[x])
    return mean
