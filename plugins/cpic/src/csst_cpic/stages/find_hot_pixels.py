"""Pixels whose dark current is too high to be subtracted."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from csst_cpic.camera.agreement import require_shape, require_unit
from csst_cpic.detector import Detector
from csst_cpic.stages.dark import RATE_UNIT
from csstcore.api import Image, NotApplicable, Reference, metric


def find_hot_pixels(
    dark: Image | None,
    detector: Reference[Detector],
    *,
    significance: Annotated[float, Field(gt=0)] = 5.0,
) -> Annotated[Image, "bad_pixels"]:
    """Find pixels that are hot or warm by their dark rate.

    Parameters
    ----------
    dark
        Dark rate in electron / s with variance. What is flagged ``bad`` there stays so; what is
        ``saturated`` without light is hot, though its rate is not known. None where frames of an
        EM gain are of clocking only.
    detector
        Rates from which a pixel is warm, and hot.
    significance
        Errors by which the rate has to stand above zero: in few dark frames a single electron
        makes a high rate.

    Returns
    -------
    bad_pixels
        Flags ``hot``, ``warm`` and ``bad``; data are the dark rate. Metrics: ``hot_pixels`` and
        ``warm_pixels``.

    Raises
    ------
    NotApplicable
        If there is no dark.
    UnprocessableData
        If shape or unit do not fit.
    """
    if dark is None:
        raise NotApplicable("there is no dark")
    require_unit(dark, RATE_UNIT, "dark")
    require_shape(dark, detector.shape, "the active area of the detector")
    rate = np.asarray(dark.data, np.float32)
    sure = np.ones(rate.shape, np.bool_)
    if dark.variance is not None:
        sure = rate > significance * np.sqrt(dark.variance)
    result = Image(
        rate.copy(),
        dark.unit,
        flags=np.zeros(rate.shape, np.uint16),
        meta=dark.meta,
        flag_bits=dark.flag_bits,
    )
    full = dark.flagged("saturated") if "saturated" in dark.flag_bits else np.zeros_like(sure)
    hot = (sure & (rate >= detector.hot_electron_per_s)) | full
    warm = sure & (rate >= detector.warm_electron_per_s) & ~hot
    for name, where in (("hot", hot), ("warm", warm), ("bad", dark.flagged("bad"))):
        result.set_flag(name, where)
    for name in ("hot", "warm"):
        metric(f"{name}_pixels", int(np.count_nonzero(result.flagged(name))))
    return result
