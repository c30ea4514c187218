"""Dark subtraction and the rate that it needs."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_calib.agreement import exposure_time_second, require_shape, require_unit
from csst_calib.tiles import row_tiles
from csstcore.api import Image, InPlace, Reference, each, replace

RATE_UNIT = u.electron / u.s


def subtract_dark(
    image: InPlace[Image], dark: Reference[Image], *, shared_bias: bool = True
) -> Image:
    """Subtract the dark current accumulated during the exposure.

    To the variance are added the photon noise of the dark current, pixel by pixel from the
    reference (so that warm pixels get their own), and the reference's variance. Run
    `estimate_variance` after this stage: its smooth model holds light only.

    The dark itself was made by subtracting a bias b: with exposure times t of the image and
    T of the dark frames the image loses ``b (1 - t/T)``, not b. The dark's variance holds
    the share ``v / T^2`` of the bias's variance v (`measure_dark`), so that in all the
    variance is ``v (1 - t/T)^2 + t^2 (v_dark - v / T^2)``: the variance that `subtract_bias`
    put in, which is all there is by now, is scaled by ``1 - 2 t/T``.

    Parameters
    ----------
    image
        Bias-subtracted image in electrons, changed in place.
    dark
        Dark rate in electron / s; its meta holds the exposure time of the dark frames, if
        they had one in common.
    shared_bias
        Whether the dark was made with the bias that was subtracted from the image. False,
        or no common exposure time, keeps the variance of the bias.

    Raises
    ------
    UnprocessableData
        If shape or units do not fit, or the exposure time is missing or not positive.
    """
    require_unit(image, u.electron)
    require_unit(dark, RATE_UNIT, "dark")
    require_shape(image, dark, "dark")
    seconds = np.float32(exposure_time_second(image))
    bias_factor = _bias_factor(float(seconds), dark) if shared_bias else np.float32(1)
    variance = np.zeros(image.shape, np.float32) if image.variance is None else image.variance

    def subtract(rows: slice) -> None:
        charge = dark.data[rows] * seconds
        image.data[rows] -= charge
        variance[rows] *= bias_factor
        variance[rows] += np.maximum(charge, 0, out=charge)
        if dark.variance is not None:
            variance[rows] += dark.variance[rows] * seconds**2
        # Only a dark whose variance does not hold that of the bias can make it negative.
        np.maximum(variance[rows], 0, out=variance[rows])

    each(subtract, row_tiles(image.shape[0]))
    return replace(image, variance=variance)


def _bias_factor(seconds: float, dark: Image) -> np.float32:
    """Return what is left of the variance of a bias that is also in the dark."""
    if dark.meta.exposure_time is None:
        return np.float32(1)
    return np.float32(1 - 2 * seconds / exposure_time_second(dark))
