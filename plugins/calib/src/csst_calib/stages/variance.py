"""Variance from read noise and a smoothed signal model."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import median_filter

from csst_calib.agreement import per_channel, require_readout, require_unit
from csst_calib.compiled import compiled
from csst_calib.readout import Readout
from csstcore.api import Image, InPlace, Reference, replace


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
    if photon_noise:
        mesh = sky_mesh(image.data, mesh_pixel)
    for channel, sigma in zip(readout, noise, strict=True):
        variance[channel.active] += np.float32(sigma) ** 2
        if photon_noise:
            rows, columns = channel.active
            _add_photon_noise(
                image.data,
                mesh,
                (rows.start, rows.stop, columns.start, columns.stop),
                np.float32(sigma) ** 2,
                np.float32(source_sigma),
                variance,
            )
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
    mesh = np.empty((len(y_edges) - 1, len(x_edges) - 1), np.float32)
    for j in range(mesh.shape[0]):
        strip = data[y_edges[j] : y_edges[j + 1] : 2]
        for i in range(mesh.shape[1]):
            mesh[j, i] = np.median(strip[:, x_edges[i] : x_edges[i + 1] : 2])
    return mesh


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
    for y in range(first_row, last_row):
        above, below = max(y - 1, 0), min(y + 1, rows - 1)
        v = min(max((y + 0.5) * cells_y / rows - 0.5, 0.0), cells_y - 1.0)
        j = min(int(v), max(cells_y - 2, 0))
        next_j = min(j + 1, cells_y - 1)
        dv = np.float32(v - j)
        for x in range(first_column, last_column):
            left, right = max(x - 1, 0), min(x + 1, columns - 1)
            w = min(max((x + 0.5) * cells_x / columns - 0.5, 0.0), cells_x - 1.0)
            i = min(int(w), max(cells_x - 2, 0))
            next_i = min(i + 1, cells_x - 1)
            dw = np.float32(w - i)
            lower = mesh[j, i] * (1 - dw) + mesh[j, next_i] * dw
            upper = mesh[next_j, i] * (1 - dw) + mesh[next_j, next_i] * dw
            sky = max(lower * (1 - dv) + upper * dv, np.float32(0))
            smooth = np.float32(0.0625) * (
                data[above, left]
                + data[above, right]
                + data[below, left]
                + data[below, right]
                + 2 * (data[above, x] + data[below, x] + data[y, left] + data[y, right])
                + 4 * data[y, x]
            )
            limit = source_sigma * np.sqrt((read_variance + sky) * kernel_square)
            signal = smooth if smooth - sky > limit else sky
            variance[y, x] += np.float32(signal)
