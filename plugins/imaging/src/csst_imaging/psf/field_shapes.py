"""Widths and ellipticities of a PSF over the field it was made for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.render import psf_at
from csst_imaging.psf.shape import FWHM_OVER_SIGMA, adaptive_moments, half_maximum_width
from csstcore.api import Psf

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FieldShapes:
    """Shapes on a square grid of positions, row by row from below."""

    x: Floats
    """FITS pixels."""
    y: Floats
    samples: NDArray[np.float32]
    """The PSF at the positions, shape (n, rows, columns)."""
    fwhm: Floats
    """Pixels."""
    e1: Floats
    e2: Floats

    @property
    def ellipticity(self) -> Floats:
        """The modulus of e1 and e2."""
        return np.hypot(self.e1, self.e2)


def field_shapes(psf: Psf, places: int) -> FieldShapes:
    """Measure a PSF at `places` x `places` positions of its field.

    The field is that within half a scale of the zero of the polynomial.
    """
    line = (np.arange(places) + 0.5) / places - 0.5
    v, u = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    x, y = psf.zero[0] + u * psf.scale[0], psf.zero[1] + v * psf.scale[1]
    samples = psf_at(psf, x, y)
    fwhm = np.array([half_maximum_width(plane, psf.step_pixel) for plane in samples])
    typical = float(np.nanmedian(fwhm)) if np.isfinite(fwhm).any() else 2 * psf.step_pixel
    moments = adaptive_moments(samples, typical / FWHM_OVER_SIGMA / psf.step_pixel)
    return FieldShapes(x, y, samples, fwhm, moments[:, 3], moments[:, 4])
