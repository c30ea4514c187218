"""Quality checks of raw frames (QC0)."""

from __future__ import annotations

import numpy as np

from csstcore.api import Image

SATURATED_ADU = 65535
"""The documented flag "saturated" is set where the converter is at its limit."""
SAMPLE_STEP = 7
"""Every seventh row and column: no period of the channels, and a fiftieth of the pixels."""


def saturated_fraction(image: Image) -> float:
    """Fraction of the pixels at the limit of the converter, 65535 adu.

    Parameters
    ----------
    image
        Raw frame, uint16, shape (rows, columns).
    """
    return float(np.count_nonzero(image.data >= SATURATED_ADU)) / image.data.size


def zero_fraction(image: Image) -> float:
    """Fraction of the pixels that are zero: a dead channel or detector, or lost data.

    Parameters
    ----------
    image
        Raw frame, uint16, shape (rows, columns).
    """
    return 1.0 - float(np.count_nonzero(image.data)) / image.data.size


def raw_level(image: Image) -> float:
    """Median of a sample of the raw frame, in adu.

    Parameters
    ----------
    image
        Raw frame, uint16, shape (rows, columns).
    """
    return float(np.median(image.data[::SAMPLE_STEP, ::SAMPLE_STEP]))
