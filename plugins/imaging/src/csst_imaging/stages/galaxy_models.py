"""Models of galaxies, fitted to the pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.columns import values
from csst_imaging.galaxies.groups import Group, make_groups
from csst_imaging.galaxies.joint import Fit, Pixels, fit_groups, unfitted
from csst_imaging.galaxies.model import BULGE, BULGE_DISK, DISK, POINT
from csst_imaging.galaxies.psf_mixture import fit_psf_mixture
from csst_imaging.galaxies.results import (
    AT_BOUND,
    INCOMPLETE,
    INCOMPLETE_FRACTION,
    NOT_CONVERGED,
    NOT_FITTED,
    POINT_MODEL,
    SPLIT,
    add_magnitudes,
    index_columns,
    part_columns,
    position_columns,
    total_columns,
)
from csst_imaging.galaxies.sources import Sources, bulge_and_disk, first_guesses
from csst_imaging.planes import Planes, planes_of
from csst_imaging.psf.cutouts import cut, unusable_bits
from csst_imaging.psf.noise import SkyVariance, photon_variance, sky_variance
from csstcore.api import Image, Psf, Table, UnprocessableData, caveat, metric

BRIGHT_SOURCES, CLEAN_SOURCES = 1000, 200
CORE_HALF_PIXEL = 6
SAME_ZERO_POINT_MAG = 0.002
SAME_PLACE_DEG = 0.5 / 3600.0


def fit_galaxies(
    image: Image,
    background: Image,
    catalog: Table,
    psf: Psf,
    *,
    largest_group: Annotated[int, Field(ge=1, le=20)] = 8,
    sky_error: Annotated[float, Field(gt=0, le=1)] = 0.02,
) -> Annotated[Table, "models"]:
    """Fit Sersic and bulge-plus-disk models to galaxies.

    Two models, each convolved with the PSF and fitted to the pixels by least squares
    (Levenberg-Marquardt), sources whose light overlaps together: a Sersic profile of free
    index; and a de Vaucouleurs bulge with an exponential disk. Point sources are modelled by
    the PSF where they overlap a galaxy, and left alone elsewhere. Profiles and PSF are sums of
    Gaussians (Hogg & Lang 2013, PASP 125, 719). Profiles fall to zero from 5 to 8 half-light
    radii, and total fluxes are those within; half-light radii are those of the uncut profiles,
    along the major axis. Weak priors: axis ratios (g = -ln q, standard deviation 0.8), Sersic
    index (1.5, a factor 2), bulge to disk radius (0.7, a factor 2.7), and bulge and disk aligned
    (0.3 in g). A galaxy is a source wider than the PSF. Flagged pixels are left out. Metrics:
    ``modelled_galaxies``, ``model_groups``, ``psf_approximation_error`` (relative root of the
    summed squares), ``model_chi2`` (median per degree of freedom),
    ``photon_variance`` (of a unit of flux).

    Parameters
    ----------
    image
        Calibrated image with variance.
    background
        Its background.
    catalog
        Its sources, see `measure_photometry`.
    psf
        Its point-spread function.
    largest_group
        Most sources that are fitted together; of a larger group the rest is subtracted.
    sky_error
        How well the background is known, in standard deviations of a pixel: the sky of each
        group is free with this prior.

    Returns
    -------
    Table
        A row for each of `catalog`, with its ``id`` and order. ``x_model, y_model`` (FITS
        pixels), ``ra_model, dec_model``, ``chi2_model`` (per degree of freedom), ``flux_model``
        and ``ratio_disk`` of bulge and disk together; ``flux_.., re_.., e_.., pa_..`` (pixels;
        1 - axis ratio; degrees from +x to +y) for ``_bulge``, ``_disk`` and ``_sersic``, and
        ``n_sersic``, all with ``.._error``; magnitudes with the zero point of the catalogue.
        ``flag_model``: 1 not converged or not determined, 2 a parameter at its bound, 4 group
        cut, 8 pixels flagged or beyond the edge, 16 point source, 32 not modelled (all NaN).

    Raises
    ------
    UnprocessableData
        The background does not fit, there is no variance, the catalogue is empty or lacks a
        column, or the PSF is not one.
    """
    planes, forbidden = planes_of(image, background), unusable_bits(image)
    if len(catalog) == 0:
        raise UnprocessableData("the catalogue is empty")
    mixture = fit_psf_mixture(psf, image.shape)
    metric("psf_approximation_error", mixture.error)
    sources = first_guesses(catalog.table, mixture, image.shape, image.unit)
    groups = make_groups(sources, largest_group)
    metric("modelled_galaxies", sum(int(sources.extended[g.members].sum()) for g in groups))
    metric("model_groups", len(groups))
    if not groups:
        caveat("the catalogue has no source wider than the PSF: no galaxy is modelled")
    sky = sky_variance(planes.variance)
    photons = photons_of_stars(planes, forbidden, sky, sources, catalog.table, image.unit)
    metric("photon_variance", photons)
    pixels = Pixels(planes, forbidden, sky, photons, sky_error)
    sersic, both = fit_models(pixels, sources, groups)
    flags = model_flags(sersic, both, sources, groups)
    table = make_table(catalog.table, sersic, both, flags, image.unit)
    add_magnitudes_and_sky(table, catalog.table, image)
    return Table(table, meta=image.meta)


def photons_of_stars(
    planes: Planes,
    forbidden: np.uint16,
    sky: SkyVariance,
    sources: Sources,
    table: QTable,
    unit: u.UnitBase,
) -> float:
    """Return the variance per unit of light, from the cores of bright unflagged sources."""
    flux = np.where(sources.usable, values(table, "flux_kron", unit), 0.0)
    brightest = np.argsort(-flux, kind="stable")[:BRIGHT_SOURCES]
    x, y = sources.parameters[brightest[flux[brightest] > 0.0], :2].T
    column, row = (np.rint(axis).astype(np.int64) for axis in (x, y))
    data, variance = cut(planes, forbidden, column, row, 2 * CORE_HALF_PIXEL + 1)
    whole = np.flatnonzero(np.isfinite(variance).all(axis=(1, 2)))[:CLEAN_SOURCES]
    return photon_variance(data[whole], variance[whole], sky.at(x[whole], y[whole]))


def fit_models(pixels: Pixels, sources: Sources, groups: list[Group]) -> tuple[Fit, Fit]:
    """Fit both models; return the Sersic profiles, and bulges and disks.

    Groups with outsiders are fitted twice, the second time with the outsiders as they came out
    of the first.
    """
    start = unfitted(sources.kinds, sources.parameters)
    sersic = fit_groups(pixels, groups, start, start, sources)
    crowded = [group for group in groups if len(group.outsiders)]
    sersic = fit_groups(pixels, crowded, sersic, sersic, sources)
    kinds = np.where(sources.extended, BULGE_DISK, POINT).astype(np.int64)
    guess = np.where(
        sources.extended[:, None], bulge_and_disk(sersic.parameters), sersic.parameters
    )
    both = fit_groups(pixels, groups, unfitted(kinds, guess), sersic, sources)
    fitted = both.pixels > 0
    if (fitted & sources.extended).any():
        metric("model_chi2", float(np.median(both.chi2[fitted & sources.extended])))
    return sersic, both


def model_flags(sersic: Fit, both: Fit, sources: Sources, groups: list[Group]) -> NDArray[np.int32]:
    """Return ``flag_model`` of all sources."""
    flags = np.where(both.pixels > 0, 0, NOT_FITTED)
    known = np.isfinite(sersic.covariance + both.covariance).all(axis=(1, 2))
    flags |= np.where(sersic.converged & both.converged & known, 0, NOT_CONVERGED)
    flags |= np.where(both.at_bound > 0, AT_BOUND, 0)
    for group in groups:
        if group.split:
            flags[group.members] |= SPLIT
    half = np.max(sources.windows[:, 1::2] - sources.windows[:, ::2], axis=1)
    flags |= np.where(both.pixels < (1.0 - INCOMPLETE_FRACTION) * half**2, INCOMPLETE, 0)
    flags |= np.where(sources.extended, 0, POINT_MODEL)
    return np.where(both.pixels > 0, flags, NOT_FITTED).astype(np.int32)


def make_table(
    catalog: QTable, sersic: Fit, both: Fit, flags: NDArray[np.int32], unit: u.UnitBase
) -> QTable:
    """Return the columns of both models; what a source does not have is NaN."""
    point, missing = both.kinds == POINT, both.pixels == 0
    total = replace(both, parameters=np.where(point[:, None], _as_disk(both), both.parameters))
    columns = position_columns(both) | total_columns(total)
    extended = (
        part_columns(both, BULGE, "bulge")
        | part_columns(both, DISK, "disk")
        | part_columns(sersic, DISK, "sersic")
        | index_columns(sersic)
    )
    extended |= {name: columns.pop(name) for name in ("ratio_disk", "ratio_disk_error")}
    table = QTable()
    if "id" in catalog.colnames:
        table["id"] = np.asarray(catalog["id"])
    for name, column in columns.items():
        table[name] = np.where(missing, np.nan, column)
    for name, column in extended.items():
        table[name] = np.where(missing | point, np.nan, column)
    table["chi2_sersic"] = np.where(missing | point, np.nan, sersic.chi2)
    table["flag_model"] = flags
    return table


def _as_disk(fit: Fit) -> NDArray[np.float64]:
    """Return parameters with no bulge."""
    parameters = fit.parameters.copy()
    parameters[:, BULGE] = 0.0
    return parameters


def add_magnitudes_and_sky(table: QTable, catalog: QTable, image: Image) -> None:
    """Add magnitudes, sky coordinates and units."""
    add_magnitudes(table, zero_point_of(catalog, image.unit))
    table["ra_model"], table["dec_model"] = coordinates(table, catalog, image)
    for name in table.colnames:
        if name.startswith("flux_"):
            table[name] = np.asarray(table[name]) * image.unit
        elif name.startswith(("x_", "y_", "re_")):
            table[name] = np.asarray(table[name]) * u.pixel
        elif name.startswith("pa_"):
            table[name] = np.asarray(table[name]) * u.deg


def zero_point_of(catalog: QTable, unit: u.UnitBase) -> float:
    """Return the zero point of the catalogue's magnitudes; NaN if they have none in common."""
    if {"flux_kron", "mag_kron"} <= set(catalog.colnames):
        flux, magnitude = values(catalog, "flux_kron", unit), values(catalog, "mag_kron", u.mag)
        with np.errstate(invalid="ignore", divide="ignore"):
            points = magnitude + 2.5 * np.log10(flux)
        points = points[np.isfinite(points)]
        if points.size:
            middle = float(np.median(points))
            if float(np.median(np.abs(points - middle))) < SAME_ZERO_POINT_MAG:
                return middle
    caveat("the catalogue has no magnitudes with one zero point: models have fluxes only")
    return float("nan")


def coordinates(
    table: QTable, catalog: QTable, image: Image
) -> tuple[u.Quantity[u.deg], u.Quantity[u.deg]]:
    """Return right ascension and declination of the models.

    The solution on the image must be that of the catalogue: an exposure whose position could not
    be solved has nominal coordinates in its header and none in its catalogue.
    """
    nothing = np.full(len(table), np.nan) * u.deg
    if image.wcs is None or not {"ra", "dec"} <= set(catalog.colnames):
        return nothing, nothing
    x, y = values(catalog, "x", u.pixel), values(catalog, "y", u.pixel)
    known = np.isfinite(x) & np.isfinite(y)
    seen = np.radians(image.wcs.wcs_pix2world(x[known], y[known], 1))
    listed = np.radians([values(catalog, name, u.deg)[known] for name in ("ra", "dec")])
    away = np.degrees(angular_separation(*seen, *listed))
    if not away.size or not np.nanmedian(away) < SAME_PLACE_DEG:
        caveat("the catalogue's coordinates are not those of the image: models have pixels only")
        return nothing, nothing
    places = np.array([table["x_model"], table["y_model"]], np.float64)
    found = np.isfinite(places).all(axis=0)
    ra, dec = nothing.copy(), nothing.copy()
    ra[found], dec[found] = np.array(image.wcs.wcs_pix2world(*places[:, found], 1)) * u.deg
    return ra, dec
