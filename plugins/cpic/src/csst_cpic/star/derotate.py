"""Frames turned so that North is up and East is left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_cpic.star.sky_frame import central_pixel
from csst_cpic.star.spline import interpolate, interpolate_linear
from csstcore.api import each


def derotated(
    cube: NDArray[np.float32],
    angles_deg: NDArray[np.float64],
    pixels: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return pixels of the sky, North up and East left, from each frame.

    Parameters
    ----------
    cube
        Shape (frames, rows, columns), the star on `csst_cpic.star.sky_frame.central_pixel`;
        NaN where there is no value.
    angles_deg
        Position angle of +y of each frame, North through East.
    pixels
        Flat indices of the pixels that are wanted.

    Returns
    -------
    NDArray
        Shape (frames, pixels); NaN next to pixels without a value. Flux is kept, see `spline`.
    """

    def turn(frame: int) -> NDArray[np.float32]:
        plane = cube[frame]
        rows, columns = _places(pixels, float(angles_deg[frame]), plane.shape)
        return interpolate(plane, np.isfinite(plane), rows, columns)

    return np.stack(each(turn, range(len(cube))))


def derotated_variance(
    variance: NDArray[np.float32],
    angles_deg: NDArray[np.float64],
    pixels: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return the variance of pixels of the sky from each frame, by linear interpolation.

    The noise of neighbouring pixels is correlated by the turn; interpolated like this, the
    variance of a sum over an aperture stays what it was.

    Parameters
    ----------
    variance
        Shape (frames, rows, columns), or one plane (rows, columns) that all frames share.
    angles_deg, pixels
        As in `derotated`.
    """
    shape = variance.shape[-2:]
    planes = np.broadcast_to(variance, (len(angles_deg), *shape))

    def turn(frame: int) -> NDArray[np.float32]:
        rows, columns = _places(pixels, float(angles_deg[frame]), (shape[0], shape[1]))
        return interpolate_linear(planes[frame], rows, columns)

    return np.stack(each(turn, range(len(angles_deg))))


def _places(
    pixels: NDArray[np.intp], angle_deg: float, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where pixels of the sky lie in a frame whose +y has a position angle."""
    row, column = central_pixel(shape)
    y, x = np.divmod(pixels, shape[1])
    dy, dx = y - row, x - column
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return row + dy * cosine - dx * sine, column + dx * cosine + dy * sine
