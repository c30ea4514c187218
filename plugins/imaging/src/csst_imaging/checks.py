"""Quality numbers of images and catalogues."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.stages.detection import point_like
from csstcore.api import Image, Table

SAMPLES = 1_000_000


def sky_level(image: Image) -> float:
    """Median of the unflagged pixels, in the unit of the image.

    Parameters
    ----------
    image
        Any image; about a million of its pixels are looked at.
    """
    pixels = sample(image)
    return float(np.median(pixels)) if pixels.size else float("nan")


def sky_rms(image: Image) -> float:
    """Robust standard deviation of the unflagged pixels, in the unit of the image.

    Parameters
    ----------
    image
        Any image; the scatter is that of the lower half of about a million of its pixels,
        which sources hardly touch.
    """
    pixels = sample(image)
    if not pixels.size:
        return float("nan")
    low, middle = np.percentile(pixels, [15.865, 50.0])
    return float(middle - low)


def flagged_fraction(image: Image) -> float:
    """Fraction of the pixels with any flag.

    Parameters
    ----------
    image
        Any image; without flags the fraction is 0.
    """
    if image.flags is None:
        return 0.0
    return float(np.count_nonzero(image.flags) / image.flags.size)


def astrometric_rms(image: Image) -> float:
    """Scatter of the matched stars about the solution, in mas (the worse axis).

    Parameters
    ----------
    image
        An image whose solution carries CRDER; NaN without.
    """
    if image.wcs is None:
        return float("nan")
    return float(np.max(image.wcs.wcs.crder) * 3.6e6)


def number_of_sources(catalog: Table) -> float:
    """Count of the sources in a catalogue.

    Parameters
    ----------
    catalog
        Any catalogue.
    """
    return float(len(catalog))


def fwhm(catalog: Table) -> float:
    """Median FWHM of bright point-like sources, in pixels.

    Parameters
    ----------
    catalog
        A catalogue of `detect_sources` or `measure_photometry`; NaN without such sources.
    """
    stars = point_like(catalog.table)
    if not stars.any():
        return float("nan")
    return float(np.median(values(catalog.table, "fwhm", u.pixel)[stars]))


def sample(image: Image) -> NDArray[np.float64]:
    """Return about a million finite unflagged pixels on a regular grid."""
    step = max(int(np.sqrt(image.data.size / SAMPLES)), 1)
    good = np.isfinite(image.data[::step, ::step])
    if image.flags is not None:
        good &= image.flags[::step, ::step] == 0
    return np.asarray(image.data[::step, ::step][good], np.float64)
