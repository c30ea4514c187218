"""Horizontal bands of an image, so that no stage holds a second full plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csstcore.api import Image, UnprocessableData

CORE_ROWS = 1536
MARGIN_ROWS = 128


@dataclass(frozen=True, slots=True)
class Band:
    """Background-subtracted rows ``start`` to ``stop``; sources in the core belong to it."""

    start: int
    """First row of `data` in the image, margin included."""
    core_start: int
    core_stop: int
    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    """Noise variance; infinite where the pixel has no value."""
    valid: NDArray[np.bool_] | None
    """Where `data` has a value; None if everywhere. It is 0 elsewhere."""


def check_planes(image: Image, background: Image) -> None:
    """Raise `UnprocessableData` unless the background fits the image."""
    if background.shape != image.shape or background.unit != image.unit:
        raise UnprocessableData(
            f"background has shape {background.shape} and unit '{background.unit}'; "
            f"expected {image.shape} and '{image.unit}' as the image"
        )
    if image.variance is None and background.variance is None:
        raise UnprocessableData("neither the image nor its background has a variance plane")


def bands(image: Image, background: Image) -> Iterator[Band]:
    """Cut an image into overlapping bands with the background subtracted.

    The variance is the image's; without one it is the background's (noise of the sky only).
    Bands overlap by twice `MARGIN_ROWS`, so that a source of the core and its largest
    aperture lie inside.

    Parameters
    ----------
    image, background
        Of equal shape and unit; see `check_planes`.
    """
    plane = image.variance if image.variance is not None else background.variance
    if plane is None:
        raise UnprocessableData("neither the image nor its background has a variance plane")
    rows = image.shape[0]
    for core_start in range(0, rows, CORE_ROWS):
        core_stop = min(core_start + CORE_ROWS, rows)
        start, stop = max(core_start - MARGIN_ROWS, 0), min(core_stop + MARGIN_ROWS, rows)
        data = np.subtract(image.data[start:stop], background.data[start:stop], dtype=np.float32)
        variance = plane[start:stop]
        valid = np.isfinite(data) & (variance > 0)
        complete = bool(valid.all())
        if not complete:
            data[~valid] = 0.0
            variance = np.where(valid, variance, np.float32(np.inf))
        yield Band(start, core_start, core_stop, data, variance, None if complete else valid)
