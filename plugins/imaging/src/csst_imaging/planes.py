"""The planes of an image as compiled loops want them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csstcore.api import Image, UnprocessableData

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Planes:
    """Contiguous planes of one shape."""

    data: Plane
    background: Plane
    variance: Plane
    flags: NDArray[np.uint16]
    """One row if the image has no flags."""

    @property
    def all(self) -> tuple[Plane, Plane, Plane]:
        """Data, background and variance."""
        return self.data, self.background, self.variance


def planes_of(image: Image, background: Image) -> Planes:
    """Return the planes of an image; the variance is the background's if it has none.

    Raises
    ------
    UnprocessableData
        The background does not fit the image, or there is no variance.
    """
    if background.shape != image.shape or background.unit != image.unit:
        raise UnprocessableData(
            f"background has shape {background.shape} and unit '{background.unit}'; "
            f"expected {image.shape} and '{image.unit}' as the image"
        )
    variance = image.variance if image.variance is not None else background.variance
    if variance is None:
        raise UnprocessableData("neither the image nor its background has a variance plane")
    flags = image.flags
    if flags is None:
        flags = np.zeros((1, image.shape[1]), np.uint16)
    return Planes(
        np.ascontiguousarray(image.data, np.float32),
        np.ascontiguousarray(background.data, np.float32),
        np.ascontiguousarray(variance, np.float32),
        np.ascontiguousarray(flags, np.uint16),
    )
