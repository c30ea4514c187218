"""The sky under the sources."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import sep
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import binary_dilation

from csstcore.api import Image, UnprocessableData, metric

BLOCK_PIXEL = 4
"""Sources are looked for on means of 4 x 4 pixels: fainter outskirts are seen, at less cost."""

SOURCE_SIGMA = 3.0
BRIGHT_SIGMA = 60.0
BRIGHT_BLOCKS = 8
"""Around blocks brighter than `BRIGHT_SIGMA` the wings are masked this far."""

CLIP_SIGMA = 4.0
SAMPLED_ROWS = 500


def estimate_background(
    image: Image,
    *,
    box_pixel: Annotated[int, Field(ge=16, le=4096)] = 256,
    filter_boxes: Annotated[int, Field(ge=1, le=15)] = 3,
) -> Annotated[Image, "background"]:
    """Estimate the smooth background of an image.

    Flagged pixels and sources are masked, the mode of the rest is taken in a mesh, filtered
    by a median and interpolated by a bicubic spline (Bertin & Arnouts 1996, A&AS 117, 393).
    The mode of few photons lies below their mean (0.3 electrons at the survey's sky), and an
    aperture collects the mean: so the clipped mean of what is left is added. Metrics:
    ``sky_background`` and ``sky_rms``, in the unit of the image.

    Parameters
    ----------
    image
        Calibrated image, float32; flagged pixels and pixels that are not finite do not count.
    box_pixel
        Side of a mesh box.
    filter_boxes
        Width of the median filter over the mesh, in boxes.

    Returns
    -------
    Image
        The background, float32, same shape and unit. It has a variance (of one sky pixel)
        only if `image` has none.

    Raises
    ------
    UnprocessableData
        Fewer than one pixel in a hundred can be used.
    """
    blocked = ~np.isfinite(image.data)
    if image.flags is not None:
        np.logical_or(blocked, image.flags != 0, out=blocked)
    usable = 1.0 - np.count_nonzero(blocked) / blocked.size
    if usable < 0.01:
        raise UnprocessableData(
            f"only {usable:.2%} of the pixels are finite and not flagged; expected at least 1 %"
        )
    box = min(box_pixel, *image.shape)
    mask_sources(image.data, blocked, max(box // BLOCK_PIXEL, 4))
    mesh = sep.Background(
        np.ascontiguousarray(image.data, np.float32),
        mask=blocked,
        bw=box,
        bh=box,
        fw=filter_boxes,
        fh=filter_boxes,
    )
    back = mesh.back(dtype=np.float32)
    excess = mean_excess(image.data, back, blocked, mesh.globalrms)
    back += excess
    metric("sky_background", float(mesh.globalback + excess))
    metric("sky_rms", float(mesh.globalrms))
    variance = None
    if image.variance is None:
        variance = mesh.rms(dtype=np.float32)
        np.square(variance, out=variance)
    return Image(
        back,
        unit=image.unit,
        variance=variance,
        meta=image.meta,
        flag_bits=image.flag_bits,
    )


def mean_excess(
    data: NDArray[np.float32],
    back: NDArray[np.float32],
    blocked: NDArray[np.bool_],
    sigma: float,
) -> np.float32:
    """Return the clipped mean of the free pixels above a background.

    Parameters
    ----------
    data, back, blocked
        Image, background and mask of the same shape.
    sigma
        Standard deviation of a sky pixel.
    """
    rows = np.s_[:: 1 + len(data) // SAMPLED_ROWS]
    residual = (data[rows] - back[rows])[~blocked[rows]]
    residual = residual[np.abs(residual) < CLIP_SIGMA * sigma]
    return np.float32(np.mean(residual, dtype=np.float64)) if residual.size else np.float32(0)


def mask_sources(data: NDArray[np.float32], blocked: NDArray[np.bool_], box_blocks: int) -> None:
    """Add sources and their wings to a mask, in place.

    Parameters
    ----------
    data
        Image, shape (rows, columns).
    blocked
        Mask to be completed, same shape; its pixels are left out of the block means.
    box_blocks
        Mesh box for the first background, in blocks of `BLOCK_PIXEL` pixels.
    """
    rows, columns = (size // BLOCK_PIXEL for size in data.shape)
    if rows < 2 or columns < 2:
        return
    mean, empty = block_means(data, blocked, rows, columns)
    first = sep.Background(mean, mask=empty, bw=box_blocks, bh=box_blocks)
    signal = mean - first.back(dtype=np.float32)
    sources = (signal > SOURCE_SIGMA * first.globalrms) & ~empty
    bright = (signal > BRIGHT_SIGMA * first.globalrms) & ~empty
    sources = binary_dilation(sources, iterations=1)
    if bright.any():
        sources |= binary_dilation(bright, iterations=BRIGHT_BLOCKS)
    inside = blocked[: rows * BLOCK_PIXEL, : columns * BLOCK_PIXEL]
    cells = inside.reshape(rows, BLOCK_PIXEL, columns, BLOCK_PIXEL)
    np.logical_or(cells, sources[:, None, :, None], out=cells)


def block_means(
    data: NDArray[np.float32], blocked: NDArray[np.bool_], rows: int, columns: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return means of blocks, and which blocks have too few free pixels.

    Parameters
    ----------
    data, blocked
        Image and mask, same shape.
    rows, columns
        Number of whole blocks along each axis.
    """
    total = np.zeros((rows, columns), np.float32)
    count = np.zeros((rows, columns), np.float32)
    for j in range(BLOCK_PIXEL):
        for i in range(BLOCK_PIXEL):
            piece = np.s_[
                j : rows * BLOCK_PIXEL : BLOCK_PIXEL, i : columns * BLOCK_PIXEL : BLOCK_PIXEL
            ]
            free = ~blocked[piece]
            np.add(total, data[piece], out=total, where=free)
            count += free
    empty = count < BLOCK_PIXEL**2 / 2
    np.divide(total, np.maximum(count, 1.0), out=total)
    return total, empty
