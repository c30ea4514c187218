"""Fits of the PSF to the sources of an image."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.columns import values
from csst_imaging.planes import planes_of
from csst_imaging.psf.cutouts import cut, unusable_bits
from csst_imaging.psf.noise import photon_variance, sky_variance
from csst_imaging.psf.photometry import SPREAD, SPREAD_ERROR, Entries, Model, fit_sources
from csst_imaging.psf.point_fit import CHI2, FLUX, FLUX_ERROR, X_ERROR, Y_ERROR, X, Y
from csst_imaging.psf.render import field_terms, psf_at, spline_planes
from csst_imaging.psf.shape import half_maximum_width, offsets
from csst_imaging.psf.spread import extended_planes
from csst_imaging.stages.psf import BRIGHT_STARS, CORE_PIXEL
from csstcore.api import Image, Psf, Table, UnprocessableData, metric, replace

FIT_FWHM = 2.25
SUBTRACTED_FWHM = (2.75, 4.5)
NEGLIGIBLE_SIGMA = 0.1


def measure_psf_photometry(
    image: Image,
    sources: Table,
    background: Image,
    psf: Psf,
    *,
    model_error: Annotated[float, Field(ge=0, le=0.2)] = 0.005,
) -> Annotated[Table, "sources"]:
    """Measure fluxes and positions of sources by fits of the PSF.

    Every source is fitted as a point: flux and position by weighted least squares, the weights
    those of the model (sky and photons), so that fluxes are not biased (Stetson 1987, PASP 99,
    191). The models of neighbours are subtracted, in four rounds from bright to faint. Flagged
    pixels (bad, hot, saturated, cosmic_ray, trail) do not count; a saturated star is fitted by
    its wings. Metrics: ``psf_sources`` (fitted), ``psf_photon_variance`` (what a unit of flux
    adds to the variance).

    Parameters
    ----------
    image
        Calibrated image.
    sources
        Its sources, see `detect_sources`.
    background
        Its background.
    psf
        Its point-spread function, see `model_psf`.
    model_error
        Error of the PSF relative to its values, part of the weights.

    Returns
    -------
    Table
        `sources` with ``x_psf``, ``y_psf`` (FITS pixels) and ``flux_psf`` (the flux within the
        samples of the PSF) with errors, ``chi2_psf`` (reduced), and ``spread_model`` with its
        error (Desai et al. 2012, ApJ 757, 83). NaN where the fit failed.

    Raises
    ------
    UnprocessableData
        The background does not fit, or there is no variance.
    """
    planes, forbidden = planes_of(image, background), unusable_bits(image)
    table = QTable(sources.table, copy=True)
    x, y = values(table, "x", u.pixel), values(table, "y", u.pixel)
    sky = sky_variance(planes.variance)
    flux = values(table, "flux_isophotal")
    clean = np.asarray(table["flags_isophotal"]) == 0
    bright = np.argsort(-np.nan_to_num(np.where(clean, flux, -1.0)))[:BRIGHT_STARS]
    bright = bright[np.isfinite(x[bright] + y[bright])]
    column, row = (np.floor(axis[bright] + 0.5).astype(np.int64) - 1 for axis in (x, y))
    stamps = cut(planes, forbidden, column, row, 2 * CORE_PIXEL + 1)
    photons = photon_variance(*stamps, sky.at(x[bright] - 1, y[bright] - 1))
    metric("psf_photon_variance", photons)
    place = np.nan_to_num(x), np.nan_to_num(y)
    entries = Entries(x - 1, y - 1, field_terms(psf, *place), flux)
    fits = fit_sources(planes, forbidden, sky, entries, prepare(psf, photons, model_error))
    metric("psf_sources", int(np.count_nonzero(np.isfinite(fits[:, FLUX]))))
    add_columns(table, fits, image.unit)
    return replace(sources, table=table)


def prepare(psf: Psf, photons: float, model_error: float) -> Model:
    """Return the PSF ready for fits."""
    middle = psf_at(psf, np.array([psf.zero[0]]), np.array([psf.zero[1]]))[0]
    fwhm = half_maximum_width(middle, psf.step_pixel)
    if not np.isfinite(fwhm):
        raise UnprocessableData("the PSF has no half maximum within its samples")
    full = int(np.floor(len(middle) // 2 * psf.step_pixel))
    halves = np.unique([*(min(full, int(np.ceil(n * fwhm))) for n in SUBTRACTED_FWHM), full])
    radius = np.hypot(*offsets(len(middle), psf.step_pixel))
    outside = [float(np.max(np.abs(middle), where=radius > half, initial=1e-9)) for half in halves]
    return Model(
        planes=spline_planes(psf),
        extended=extended_planes(psf, fwhm),
        step=psf.step_pixel,
        photons=photons,
        error=model_error,
        half=min(full, int(np.ceil(FIT_FWHM * fwhm))),
        halves=halves.astype(np.int64),
        limits=NEGLIGIBLE_SIGMA / np.array(outside),
    )


def add_columns(table: QTable, fits: NDArray[np.float64], unit: u.UnitBase) -> None:
    """Add the columns of the fits, with units."""
    table["x_psf"] = (fits[:, X] + 1.0) * u.pixel
    table["y_psf"] = (fits[:, Y] + 1.0) * u.pixel
    table["x_psf_error"] = fits[:, X_ERROR] * u.pixel
    table["y_psf_error"] = fits[:, Y_ERROR] * u.pixel
    table["flux_psf"] = fits[:, FLUX] * unit
    table["flux_psf_error"] = fits[:, FLUX_ERROR] * unit
    table["chi2_psf"] = fits[:, CHI2]
    table["spread_model"] = fits[:, SPREAD]
    table["spread_model_error"] = fits[:, SPREAD_ERROR]
