"""The contract that every plugin keeps."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import Time

from csst_imaging.flux.passbands import Passband, Passbands
from csst_imaging.position.tpv import tangent_wcs, with_size
from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.colour_terms import measure_colour_terms
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.focal_plane import solve_focal_plane
from csst_imaging.stages.photometry import measure_photometry
from csst_imaging.stages.psf import model_psf
from csst_imaging.stray_light import Ghost, Halo, StarColour, StrayLight
from csstcore.api import Image, Meta, Table, Wcs, replace
from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "imaging"
SIZE = 256


def examples():
    """A call of every stage on a grid of Gaussian stars."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIZE, :SIZE]
    data = rng.normal(20.0, 5.0, (SIZE, SIZE))
    steps = range(20, 240, 40)
    places = [(r + 3 * np.sin(c), c + 3 * np.sin(r)) for r in steps for c in steps]
    for number, (row, column) in enumerate(places):
        data += (2000 + 100 * number) * np.exp(-0.5 * ((x - column) ** 2 + (y - row) ** 2))
    wcs = tangent_wcs((128.0, 128.0), 150.0, 30.0, np.diag([-2e-5, 2e-5]))
    image = Image(
        data.astype(np.float32),
        unit=u.electron,
        variance=np.full((SIZE, SIZE), 25.0, np.float32),
        flags=np.zeros((SIZE, SIZE), np.uint16),
        wcs=wcs,
        meta=Meta(time=Time("2028-01-01"), instrument="MSC", filter="g"),
    )
    background = estimate_background(image)
    sources = detect_sources(image, background)
    row, column = np.array(places).T
    ra, dec = wcs.wcs_pix2world(column + 1, row + 1, 1)
    n = len(ra)
    zero = np.zeros(n)
    stars = QTable(
        {
            "ra": ra * u.deg,
            "dec": dec * u.deg,
            "ra_error": (zero + 0.1) * u.mas,
            "dec_error": (zero + 0.1) * u.mas,
            "pmra": zero * u.mas / u.yr,
            "pmdec": zero * u.mas / u.yr,
            "pmra_error": zero * u.mas / u.yr,
            "pmdec_error": zero * u.mas / u.yr,
            "parallax": zero * u.mas,
            "g_mag": (18.0 - np.arange(n) * 0.02) * u.mag,
            "bp_rp": (0.8 + 0.3 * np.sin(np.arange(n))) * u.mag,
            "epoch": np.full(n, 2016.0) * u.yr,
        }
    )
    passbands = Passbands({"g": Passband(26.0, (400.0, 550.0), (0.6, 0.6))})
    catalog = measure_photometry(image, sources, background, Wcs(wcs))
    galaxies = Table(QTable(catalog.table, copy=True))
    galaxies.table["fwhm"][:3] *= 1.5
    # so few stars measure no total fluxes, and their neighbours mark them
    catalog.table["flags"] = np.zeros(len(catalog), np.int32)
    flux = catalog.table["flux_aperture"][:, 5]
    catalog.table["flux_total"] = flux
    catalog.table["flux_total_error"] = catalog.table["flux_aperture_error"][:, 5]
    colour_terms = measure_colour_terms([catalog], Table(stars), passbands)
    meta = Meta(obs_id="10100000001", detector=7, time=Time("2028-01-01"))
    listed = Table(sources.table, meta=meta, wcs=with_size(wcs, image.shape))
    small = {"shift_arcsec": 2.0, "distortion_pixel": 5.0}
    psf = model_psf(image, sources, background)
    rate = replace(image, unit=u.electron / u.s, meta=replace(image.meta, filter="g"))
    stray_light = StrayLight(
        (Ghost(1e-3, 20.0, 0.3, (5.0, 3.0), 0.01, 3.0),),
        Halo(0.01, 5.0, 3.0, 6.0),
        {"g": StarColour(26.0, 0.0, 0.0)},
    )
    return {
        "estimate_background": ((image,), {}),
        "detect_sources": ((image, background), {}),
        "model_psf": ((image, sources, background), {}),
        "measure_psf_photometry": ((image, sources, background, psf), {}),
        "solve_position": (
            (image, sources, Table(stars)),
            {"shift_arcsec": 2.0, "distortion_pixel": 5.0},
        ),
        "set_wcs": ((image, Wcs(wcs)), {}),
        "get_wcs": ((listed,), {}),
        "select_stars": ((listed, Table(stars)), {}),
        "solve_focal_plane": (([listed], Table(stars)), small),
        "refine_position": ((listed, solve_focal_plane([listed], Table(stars), **small)), {}),
        "measure_distortion": (([listed], [Table(stars)]), small),
        "flag_bright_stars": (
            (rate, rate, Wcs(wcs), Table(stars), stray_light),
            {"limit_sigma": 1e-3},
        ),
        "measure_photometry": ((image, sources, background, Wcs(wcs)), {}),
        "fit_galaxies": ((image, background, galaxies, psf), {}),
        "calibrate_flux": ((image, catalog, Table(stars), colour_terms, passbands), {}),
        "measure_colour_terms": (([catalog], Table(stars), passbands), {}),
    }
