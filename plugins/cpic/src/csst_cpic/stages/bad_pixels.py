"""Flags of pixels that are bad in every exposure."""

from __future__ import annotations

import numpy as np

from csst_cpic.camera.agreement import require_shape
from csstcore.api import Image, InPlace, NotApplicable, Reference, caveat, metric, replace

KINDS = ("bad", "hot", "warm")


def flag_bad_pixels(image: InPlace[Image], bad_pixels: Reference[Image] | None = None) -> Image:
    """Flag as ``bad``, ``hot`` or ``warm`` what the mask of bad pixels says.

    Parameters
    ----------
    image
        Image whose flags are changed in place.
    bad_pixels
        Mask with these flags.

    Returns
    -------
    image
        Metrics: ``masked_bad``, ``masked_hot``, ``masked_warm`` and, any of them,
        ``masked_pixels``.

    Raises
    ------
    NotApplicable
        If there is no mask, with a caveat.
    UnprocessableData
        If the mask has another shape.
    """
    if bad_pixels is None:
        caveat("bad, hot and warm pixels are not flagged: there is no mask of them")
        raise NotApplicable("there is no mask of bad pixels")
    require_shape(image, bad_pixels.shape, "the mask of bad pixels")
    flags = np.zeros(image.shape, np.uint16) if image.flags is None else image.flags
    result = replace(image, flags=flags)
    for kind in KINDS:
        where = bad_pixels.flagged(kind)
        result.set_flag(kind, where)
        metric(f"masked_{kind}", int(np.count_nonzero(where)))
    metric("masked_pixels", int(np.count_nonzero(bad_pixels.flagged(*KINDS))))
    return result
