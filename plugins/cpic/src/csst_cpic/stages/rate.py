"""Calibration of a rate from counted photons."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from csst_cpic.camera.agreement import require_shape
from csst_cpic.detector import Detector
from csst_cpic.stages.background import subtract_background
from csst_cpic.stages.cte import correct_cte
from csst_cpic.stages.dark import subtract_dark_and_cic
from csstcore.api import Image, NotApplicable, Reference, Table, replace


def calibrate_rate(
    rate: Image | None,
    dark: Reference[Image],
    cic: Reference[Image],
    flat: Reference[Image],
    detector: Reference[Detector],
    cti: Reference[Table] | None = None,
    background: Reference[Image] | None = None,
) -> Annotated[Image, "rate"]:
    """Correct transfers of a counted rate, subtract dark and background, and flatten.

    The charge left behind in transfers is put back into rates and not into the frames they were
    counted in: there the restored electrons would be above 1, and the noise of neighbours mixed.

    Parameters
    ----------
    rate
        Electrons per frame with variance, of `count_photons`; None where photons could not be
        counted.
    dark
        Dark rate in electron / s.
    cic
        Clock-induced charge in electron per frame.
    flat
        Flat field with unit mean. Pixels of 0 or less are flagged ``bad`` and left as they are.
    detector
        Geometry of the transfers.
    cti
        Of `correct_cte`; without it nothing is put back.
    background
        Rate in electron / s.

    Returns
    -------
    rate
        Negative results of noise are kept.

    Raises
    ------
    NotApplicable
        If there is no rate.
    UnprocessableData
        If shapes or units do not fit, or there is no exposure time.
    """
    if rate is None:
        raise NotApplicable("photons were not counted")
    require_shape(rate, flat.shape, "the flat")
    image = replace(rate, data=rate.data.copy())
    image.variance = None if rate.variance is None else rate.variance.copy()
    image.flags = None if rate.flags is None else rate.flags.copy()
    if cti is not None:
        image = correct_cte(image, detector, cti)
    image = subtract_dark_and_cic(image, dark, cic)
    usable = flat.data > 0
    divisor = np.where(usable, flat.data, np.float32(1))
    image.data /= divisor
    if image.variance is not None:
        if flat.variance is not None:
            image.variance += image.data**2 * flat.variance
        image.variance /= divisor**2
    image.set_flag("bad", ~usable)
    return image if background is None else subtract_background(image, background)
