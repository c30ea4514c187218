"""Quality numbers of images and catalogues."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.stages.detection import point_like
from csstcore.api import Image, NotApplicable, Table

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


def zero_point(catalog: Table) -> float:
    """Zero point of the magnitudes of a catalogue.

    Parameters
    ----------
    catalog
        A catalogue of `calibrate_flux`.

    Raises
    ------
    NotApplicable
        It has no magnitudes.
    """
    flux, magnitude = calibrated(catalog, "flux_total", "mag_total")
    known = (flux > 0) & np.isfinite(magnitude)
    if not known.any():
        raise NotApplicable("there are no magnitudes")
    return float(np.median(magnitude[known] + 2.5 * np.log10(flux[known])))


def zero_point_rms(catalog: Table) -> float:
    """Scatter of the reference stars about the zero point, in mag.

    Parameters
    ----------
    catalog
        A catalogue of `calibrate_flux`, not read from a file.

    Raises
    ------
    NotApplicable
        It has no reference stars.
    """
    residual, used = calibrated(catalog, "zero_point_residual", "zero_point_used")
    return float(np.sqrt(np.mean(residual[used == 1.0] ** 2)))


def limiting_magnitude(catalog: Table) -> float:
    """Median magnitude of the sources at a signal-to-noise ratio of 5.

    Parameters
    ----------
    catalog
        A catalogue of `calibrate_flux`; total fluxes between 4 and 6 sigma count.

    Raises
    ------
    NotApplicable
        It has no magnitudes, or no such sources.
    """
    flux, error, magnitude = calibrated(catalog, "flux_total", "flux_total_error", "mag_total")
    near = (flux > 4.0 * error) & (flux < 6.0 * error) & np.isfinite(magnitude)
    if not near.any():
        raise NotApplicable("there are no sources with a signal-to-noise ratio of 4 to 6")
    return float(np.median(magnitude[near]))


def relation_error(colour_terms: Table) -> float:
    """Error of the colour terms at the middle of their stars, in mag.

    Parameters
    ----------
    colour_terms
        Of `measure_colour_terms`.
    """
    return float(np.sqrt(values(colour_terms.table, "covariance").ravel()[0]))


def calibrated(catalog: Table, *names: str) -> list[NDArray[np.float64]]:
    """Return columns as plain numbers; not applicable where the fluxes are not calibrated."""
    missing = [name for name in names if name not in catalog.table.colnames]
    if missing:
        raise NotApplicable(f"the catalogue has no column {', '.join(missing)}")
    return [values(catalog.table, name) for name in names]


def sample(image: Image) -> NDArray[np.float64]:
    """Return about a million finite unflagged pixels on a regular grid."""
    step = max(int(np.sqrt(image.data.size / SAMPLES)), 1)
    good = np.isfinite(image.data[::step, ::step])
    if image.flags is not None:
        good &= image.flags[::step, ::step] == 0
    return np.asarray(image.data[::step, ::step][good], np.float64)


def model_chi2(table: Table) -> float:
    """Median chi squared per degree of freedom of the modelled galaxies.

    Parameters
    ----------
    table
        Column ``chi2_sersic``, see `fit_galaxies`; it is NaN for all others.

    Raises
    ------
    NotApplicable
        No galaxy is modelled.
    """
    chi2 = values(table.table, "chi2_sersic")
    chi2 = chi2[np.isfinite(chi2)]
    if not chi2.size:
        raise NotApplicable("no galaxy is modelled")
    return float(np.median(chi2))
