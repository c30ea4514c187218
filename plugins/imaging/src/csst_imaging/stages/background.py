"""The sky under the sources."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from csst_imaging.detection.mesh import (
    BLOCK_PIXEL,
    blank_sources,
    block_means,
    box_levels,
    boxes_of,
    filtered,
    pixel_scatter,
    surface,
)
from csstcore.api import Image, UnprocessableData, metric


def estimate_background(
    image: Image,
    *,
    box_pixel: Annotated[int, Field(ge=16, le=4096)] = 256,
    filter_boxes: Annotated[int, Field(ge=1, le=15)] = 3,
) -> Annotated[Image, "background"]:
    """Estimate the smooth background of an image.

    Means of 4 x 4 pixels, without flagged pixels, sources and their wings, are averaged with
    clipping in the boxes of a mesh, filtered by a median and interpolated by a bicubic spline
    (mesh and filter as Bertin & Arnouts 1996, A&AS 117, 393). It is the mean, not the mode: the
    mode of few photons lies below it (0.3 electrons at the survey's sky), and an aperture
    collects the mean. Metrics: ``sky_background`` and ``sky_rms`` (of a pixel), in the unit of
    the image.

    Parameters
    ----------
    image
        Calibrated image, float32; flagged pixels and pixels that are not finite do not count.
    box_pixel
        Side of a mesh box; the boxes are made equal.
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
    means, free = block_means(image.data, image.flags)
    if free < 0.01 * image.data.size or not np.isfinite(means).any():
        raise UnprocessableData(
            f"only {free / image.data.size:.2%} of the pixels are finite and not flagged; "
            "expected at least 1 %"
        )
    step = min(BLOCK_PIXEL, *image.shape)
    boxes = boxes_of(image.shape, box_pixel)
    levels, scatter = box_levels(means, boxes, None)
    if np.isnan(levels).all():
        levels[:] = np.nanmedian(means)
    sky = surface(filtered(levels, filter_boxes), boxes, step)
    blank = blank_sources(means, sky, scatter)
    free_levels, _ = box_levels(blank, boxes, sky)
    if np.isfinite(free_levels).any():
        levels = free_levels
    levels = filtered(levels, filter_boxes)
    back = surface(levels, boxes)
    metric("sky_background", float(np.median(levels)))
    scatters = pixel_scatter(image.data, back, blank, boxes)
    known = np.isfinite(scatters)
    metric("sky_rms", float(np.median(scatters[known])) if known.any() else float("nan"))
    variance = None
    if image.variance is None:
        variance = np.square(surface(filtered(scatters, filter_boxes), boxes))
    return Image(
        back, unit=image.unit, variance=variance, meta=image.meta, flag_bits=image.flag_bits
    )
