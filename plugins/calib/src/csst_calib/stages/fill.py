"""Interpolation over flagged pixels."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.fill_kernel import fill
from csst_calib.tiles import row_tiles, spread_rows
from csstcore.api import Image, UnprocessableData, each, metric, replace

FILLED = ("bad", "hot", "cosmic_ray", "trail")


def fill_flagged(
    image: Image,
    *,
    psf_sigma_pixel: Annotated[float, Field(gt=0.3, le=3)] = 1.0,
    flags: tuple[str, ...] | None = None,
) -> Annotated[Image, "filled"]:
    """Replace flagged pixels by what their neighbours tell, for detection and photometry.

    In the sky a flagged pixel gets the Gaussian-weighted mean of the pixels without these
    flags within 3 pixels. Where they scatter by more than their noise it gets the mean of a
    Gaussian process whose covariance is that of a source as wide as the PSF: steep where the
    source is bright, shy where it is lost in the noise. Within gaps wider than that, of trails
    or columns, it gets the median of the surroundings. No noise is added: noise over filled
    pixels makes sources out of what a cosmic ray left beside them. Saturated pixels are kept
    by default: detection must see bright stars.

    The variance of a filled pixel counts that its value repeats the noise of its neighbours,
    so that variances still add up to that of an aperture.

    Parameters
    ----------
    image
        Calibrated image; unchanged.
    psf_sigma_pixel
        Standard deviation of the core of the PSF. The result depends on it weakly.
    flags
        Names of the flags to fill; by default bad, hot, cosmic_ray and trail, those of them that
        the image has.

    Returns
    -------
    filled
        New data and variance; flags and wcs are shared with `image`. Pixels without usable
        ones within 128 pixels become 0 with infinite variance. Metric ``filled_pixels``.

    Raises
    ------
    UnprocessableData
        The image has no flag of a name that was given.
    """
    bits = _bits(image, flags)
    data = _copy(image.data)
    variance = None if image.variance is None else _copy(image.variance)
    count = 0
    if image.flags is not None:
        known = _of_sky(image.data) if image.variance is None else image.variance
        result = np.empty_like(known) if variance is None else variance
        count, _ = fill(image.data, known, image.flags, bits, psf_sigma_pixel, data, result)
    metric("filled_pixels", int(count))
    return replace(image, data=data, variance=variance)


def _bits(image: Image, flags: tuple[str, ...] | None) -> np.uint16:
    """Return the bits of the flags to fill."""
    wanted = FILLED if flags is None else flags
    absent = [name for name in wanted if name not in image.flag_bits]
    if flags is not None and absent:
        raise UnprocessableData(
            f"the image has no flag {absent[0]!r}; it has {', '.join(image.flag_bits) or 'none'}"
        )
    return np.uint16(sum(int(image.bit(name)) for name in set(wanted) - set(absent)))


def _copy(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy, made in threads."""
    copied = np.empty_like(plane)

    def copy(rows: slice) -> None:
        copied[rows] = plane[rows]

    each(copy, row_tiles(len(plane)))
    return copied


def _of_sky(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the variance of the sky for every pixel, from differences of neighbours."""
    difference = np.abs(np.diff(spread_rows(data), axis=1))
    known = difference[np.isfinite(difference)]
    scatter = 1.4826 * float(np.median(known)) / np.sqrt(2.0) if known.size else 0.0
    return np.full(data.shape, max(scatter**2, 1e-12), np.float32)
