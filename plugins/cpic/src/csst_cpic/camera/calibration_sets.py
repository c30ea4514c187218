"""Frames of a calibration set by what they have in common, and their cosmic rays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from csst_cpic.cosmic_rays.surroundings import surroundings
from csst_cpic.detector import Detector
from csst_cpic.stages.cosmic_rays import flag_cosmic_rays
from csstcore.api import Image

MASKING = ("bad", "saturated", "cosmic_ray", "trail")


def by(value: Callable[[Image], float], images: Sequence[Image]) -> dict[float, list[Image]]:
    """Return the images by a value of theirs, in rising order."""
    ordered = sorted(images, key=value)
    return {number: list(members) for number, members in groupby(ordered, value)}


def clean_stack(
    frames: Sequence[Image], detector: Detector, *, dark: bool = False
) -> NDArray[np.float32]:
    """Return frames of one light without cosmic rays, shape (frames, rows, columns).

    Parameters
    ----------
    frames
        Of one EM gain and exposure time, in electron before multiplication.
    detector
        Of `flag_cosmic_rays`.
    dark
        Whether what little comes in the surroundings of cosmic rays, and in the register's
        tail behind bright ones, matters; it is left out then. The tail of a hot pixel stays: it
        is in every frame. What a saturated pixel spills into the next one goes too.

    Returns
    -------
    ndarray
        NaN where a pixel is hit, flagged or has no number.
    """
    masks = flag_cosmic_rays(frames, detector)
    stack = np.stack([np.asarray(frame.data, np.float32) for frame in frames])
    for plane, frame, mask in zip(stack, frames, masks, strict=True):
        names = [name for name in MASKING if name in frame.flag_bits]
        left_out = mask.mask | frame.flagged(*names) | ~np.isfinite(plane)
        if dark:
            left_out |= surroundings(frame, mask.mask, detector)
        plane[left_out] = np.nan
    return stack
