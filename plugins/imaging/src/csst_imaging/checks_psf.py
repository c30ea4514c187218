"""Quality checks of point-spread functions."""

from __future__ import annotations

import numpy as np

from csst_imaging.psf.field_shapes import field_shapes
from csstcore.api import Psf

PLACES = 5


def psf_fwhm(psf: Psf) -> float:
    """Median FWHM of the PSF over the field, in pixels.

    Parameters
    ----------
    psf
        A point-spread function; NaN if nothing of it can be measured.
    """
    widths = field_shapes(psf, PLACES).fwhm
    return float(np.nanmedian(widths)) if np.isfinite(widths).any() else float("nan")


def psf_ellipticity(psf: Psf) -> float:
    """Largest ellipticity of the PSF over the field.

    Parameters
    ----------
    psf
        A point-spread function; NaN if nothing of it can be measured. The ellipticity is that
        of adaptive moments, (a^2 - b^2) / (a^2 + b^2).
    """
    found = field_shapes(psf, PLACES).ellipticity
    return float(np.nanmax(found)) if np.isfinite(found).any() else float("nan")
