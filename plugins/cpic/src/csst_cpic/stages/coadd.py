"""`coadd`: the mean of all frames on the sky."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np

from csst_cpic.planets.repeated import without_flagged
from csst_cpic.star.combination import combined
from csst_cpic.star.derotate import derotated, derotated_variance
from csst_cpic.star.frame_angles import frame_angles_deg
from csst_cpic.star.sky_wcs import sky_wcs
from csstcore.api import Cube, Image, Table, metric


def coadd(cube: Cube, frames: Table) -> Annotated[Image, "coadd"]:
    """Average registered frames with North up and East left, without subtracting the star.

    Each pixel is weighted with 1 / variance, or with the weight of its frame where the cube has
    no variances. Flagged pixels do not count.

    Parameters
    ----------
    cube, frames
        Of `register_frames`; angles and scale are those of the frames.

    Returns
    -------
    Image
        Pixels that no frame covers are NaN, flagged ``bad``. Metric ``frames``.
    """
    angles = frame_angles_deg(cube, frames)
    shape = (cube.data.shape[1], cube.data.shape[2])
    pixels = np.arange(shape[0] * shape[1])
    values = derotated(without_flagged(cube), angles, pixels)
    variance = None
    if cube.variance is None:
        shares = np.asarray(frames.table["weight"], np.float32)
        weights = np.broadcast_to(shares[:, np.newaxis], values.shape)
    else:
        variance = derotated_variance(cube.variance, angles, pixels)
        with np.errstate(divide="ignore"):
            weights = np.float32(1) / variance
    mean, error, count = combined(values, "weighted", variance, weights)
    scale = cube.meta.pixel_scale
    scale_arcsec = None if scale is None else float(scale.to_value(u.arcsec))
    metric("frames", len(cube.data))
    image = Image(
        mean.reshape(shape),
        cube.unit,
        None if variance is None else error.reshape(shape),
        np.zeros(shape, np.uint16),
        sky_wcs(cube.meta, shape, scale_arcsec),
        cube.meta,
        cube.flag_bits,
    )
    image.set_flag("bad", count.reshape(shape) == 0)
    return image
