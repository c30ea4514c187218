"""The flux calibration of one exposure."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.columns import values
from csst_imaging.flux.calibrators import Calibrators, find_calibrators
from csst_imaging.flux.colour_terms import ColourTerms
from csst_imaging.flux.passbands import Passbands
from csst_imaging.flux.reference_magnitudes import ReferenceMagnitudes, reference_magnitudes
from csst_imaging.flux.zero_point import FEW_STARS, ZeroPoint, measure_zero_point
from csst_imaging.photometry.depth import limiting_flux
from csstcore.api import (
    Image,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    metric,
    replace,
)

GAIA = "GAIA_DR3"
"""What the definition of reference stars holds."""

FAR_FROM_NOMINAL_MAG = 0.5


def calibrate_flux(
    image: Image,
    catalog: Table,
    stars: Reference[Table],
    colour_terms: Reference[Table] | None = None,
    passbands: Reference[Passbands] | None = None,
    *,
    radius_arcsec: Annotated[float, Field(gt=0, le=5)] = 0.5,
) -> Annotated[Table, "catalog"]:
    """Measure the zero point of an exposure and give its sources AB magnitudes.

    Reference stars at the time of the exposure are matched with the sources. Their magnitudes
    in the filter come from their spectra where these span it, else from G, BP - RP and E(B-V)
    through the colour terms. The zero point is the robust mean, weighted by errors and a fitted
    scatter, of these minus the instrumental magnitudes of their total fluxes. Saturated,
    blended, flagged, extended and faint sources and far outliers (variable stars) are left out.
    A magnitude is ``zero_point - 2.5 log10(flux)`` for every flux of the catalogue; its error
    does not hold that of the zero point, which all sources share.

    Metrics: ``zero_point``, ``zero_point_error``, ``zero_point_rms``, ``zero_point_scatter``,
    ``flux_sources`` (unflagged sources), ``flux_stars`` (matched), ``zero_point_stars`` (used),
    ``zero_point_spectra`` (of these by their spectra), ``median_colour`` (BP - RP of the matched
    stars), ``flux_offset_right_ascension_arcsec``, ``flux_offset_declination_arcsec`` (sources
    minus stars), ``flux_reference``, ``sky_magnitude`` (per square arcsecond),
    ``limiting_magnitude`` (of a point source at 5 sigma, see `depth.limiting_flux`).

    Parameters
    ----------
    image
        Gives the noise of the sky and the scale; only a sample of its variance is used.
    catalog
        Sources with fluxes and positions, see `measure_photometry`.
    stars
        Reference stars (definition ``imaging.reference_stars``).
    colour_terms
        Relation of this filter to Gaia's photometry (definition ``imaging.colour_terms``).
    passbands
        Throughput of the filters, for stars with spectra.
    radius_arcsec
        Largest distance of a source from its reference star.

    Returns
    -------
    Table
        The columns of `catalog`, a magnitude with error for every flux, and for the matched
        stars ``reference_g``, ``reference_bp_rp``, ``zero_point_residual`` (measured minus
        reference magnitude) and ``zero_point_used``.

    Raises
    ------
    NotApplicable
        Neither colour terms nor spectra give magnitudes in this filter.
    UnprocessableData
        The colour terms are of another filter, the sources have no positions or no total
        fluxes, or fewer than three stars are fit.
    """
    terms = terms_of(catalog, colour_terms)
    passband = None
    if passbands is not None and "spectrum" in stars.table.colnames:
        passband = passbands.filters.get(str(catalog.meta.filter))
    if terms is None and passband is None:
        raise NotApplicable(
            f"there are no colour terms for filter {catalog.meta.filter}, "
            "and no spectra of reference stars"
        )
    pairs = find_calibrators(catalog, stars, radius_arcsec)
    if len(pairs) == 0:
        raise UnprocessableData(
            f"no source lies within {radius_arcsec:g} arcsec of any of {len(stars)} reference stars"
        )
    known = reference_magnitudes(stars.table[pairs.star], pairs.reference, terms, passband)
    zero_point = measure_zero_point(pairs, known, terms)
    table = QTable(catalog.table, copy=True)
    add_magnitudes(table, zero_point.magnitude)
    add_stars(table, pairs, zero_point)
    report_zero_point(zero_point, known, passbands, catalog)
    report_stars(catalog.table, pairs)
    report_depth(image, catalog.table, pairs, zero_point)
    return replace(catalog, table=table)


def terms_of(catalog: Table, colour_terms: Table | None) -> ColourTerms | None:
    """Return the colour terms; refuse those of another filter."""
    if colour_terms is None:
        return None
    wanted, found = catalog.meta.filter, colour_terms.meta.filter
    if None not in (wanted, found) and wanted != found:
        raise UnprocessableData(f"the colour terms are of filter {found}; expected {wanted}")
    return ColourTerms.from_table(colour_terms.table)


def add_magnitudes(table: QTable, zero_point: float) -> None:
    """Add a magnitude for every flux with an error; NaN where a flux is not positive."""
    names = [
        name
        for name in table.colnames
        if name.startswith("flux_") and f"{name}_error" in table.colnames
    ]
    for name in names:
        flux, error = values(table, name), values(table, f"{name}_error")
        positive = flux > 0
        safe = np.where(positive, flux, 1.0)
        kind = name.removeprefix("flux_")
        magnitude = np.where(positive, zero_point - 2.5 * np.log10(safe), np.nan)
        table[f"mag_{kind}"] = magnitude * u.mag
        relative = np.where(positive & (error > 0), error / safe, np.nan)
        table[f"mag_{kind}_error"] = 2.5 / np.log(10.0) * relative * u.mag


def add_stars(table: QTable, pairs: Calibrators, zero_point: ZeroPoint) -> None:
    """Add what is known of the matched reference stars."""
    for name, column in (
        ("reference_g", pairs.reference.g),
        ("reference_bp_rp", pairs.reference.bp_rp),
        ("zero_point_residual", zero_point.residual),
    ):
        whole = np.full(len(table), np.nan)
        whole[pairs.source] = column
        table[name] = whole * u.mag
    used = np.zeros(len(table), np.bool_)
    used[pairs.source] = zero_point.used
    table["zero_point_used"] = used


def report_zero_point(
    zero_point: ZeroPoint, known: ReferenceMagnitudes, passbands: Passbands | None, catalog: Table
) -> None:
    """Keep the zero point as metrics, with caveats where it is doubtful."""
    used = int(np.count_nonzero(zero_point.used))
    metric("zero_point", zero_point.magnitude)
    metric("zero_point_error", zero_point.error)
    metric("zero_point_rms", zero_point.rms)
    metric("zero_point_scatter", zero_point.scatter)
    metric("zero_point_stars", used)
    metric("zero_point_spectra", int(np.count_nonzero(zero_point.used & known.from_spectrum)))
    if used < FEW_STARS:
        caveat(f"zero point from {used} stars only, error {zero_point.error:.3f} mag")
    if passbands is None or catalog.meta.filter not in passbands.filters:
        return
    nominal = passbands.filters[catalog.meta.filter].zero_point_mag
    if abs(zero_point.magnitude - nominal) > FAR_FROM_NOMINAL_MAG:
        caveat(f"zero point {zero_point.magnitude:.3f} mag is far from the nominal {nominal:.3f}")


def report_stars(table: QTable, pairs: Calibrators) -> None:
    """Keep number, colour and offset of the matched stars as metrics."""
    metric("flux_reference", GAIA)
    metric("flux_sources", int(np.count_nonzero(np.asarray(table["flags"]) == 0)))
    metric("flux_stars", len(pairs))
    colour = pairs.reference.bp_rp[np.isfinite(pairs.reference.bp_rp)]
    if colour.size:
        metric("median_colour", float(np.median(colour)))
    east, north = np.median(pairs.offset_arcsec, axis=1)
    metric("flux_offset_right_ascension_arcsec", float(east))
    metric("flux_offset_declination_arcsec", float(north))


def report_depth(image: Image, table: QTable, pairs: Calibrators, zero_point: ZeroPoint) -> None:
    """Keep brightness of the sky and limiting magnitude as metrics, where they can be had."""
    sky = float(np.nanmedian(values(table, "sky"))) if "sky" in table.colnames else float("nan")
    if image.wcs is not None and image.wcs.has_celestial and sky > 0:
        scale_arcsec = float(np.mean(proj_plane_pixel_scales(image.wcs))) * 3600.0
        metric("sky_magnitude", zero_point.magnitude - 2.5 * np.log10(sky / scale_arcsec**2))
    width: NDArray[np.float64] = pairs.fwhm_pixel[zero_point.used]
    limit = limiting_flux(image, float(np.median(width)))
    if np.isfinite(limit):
        metric("limiting_magnitude", zero_point.magnitude - 2.5 * np.log10(limit))
