"""`Psf`: a point-spread function that varies over the field."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from csstcore.products.meta import Meta


@dataclass(slots=True, eq=False)
class Psf:
    """An oversampled point-spread function, polynomial in the position on the detector.

    The form of PSFEx (Bertin 2011, ADASS XX, 435): at a position the samples are the sum over
    the terms of the polynomial, times their samples. With ``u = (x - zero[0]) / scale[0]`` and
    ``v`` alike, the terms are 1, u, u^2 .. then v, uv, u^2 v ..: all powers of u of a power of v
    before the next, the sum of both powers at most `degree`.
    """

    samples: NDArray[np.float32]
    """Shape (terms, rows, columns), odd rows and columns: flux in one pixel centred at a
    sample's offset from the source, for a source of flux 1."""
    step_pixel: float
    """Distance of neighbouring samples."""
    degree: int
    zero: tuple[float, float]
    """FITS pixel coordinates x, y at which u and v are zero."""
    scale: tuple[float, float]
    """Pixels along x and y for a unit of u and v."""
    meta: Meta = field(default_factory=Meta)

    def __post_init__(self) -> None:
        terms = (self.degree + 1) * (self.degree + 2) // 2
        shape = self.samples.shape
        if len(shape) != 3 or shape[0] != terms or not (shape[1] % 2 and shape[2] % 2):
            raise ValueError(
                f"Psf.samples has shape {shape}; expected {terms} terms (degree {self.degree}) "
                "of an odd number of rows and columns"
            )
        if not self.step_pixel > 0 or 0.0 in self.scale:
            raise ValueError(
                f"Psf has step {self.step_pixel} and scale {self.scale}; expected a positive "
                "step and a scale other than zero"
            )
