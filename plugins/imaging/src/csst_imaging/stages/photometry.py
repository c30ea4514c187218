"""Fluxes of sources in apertures."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.columns import values
from csst_imaging.photometry.apertures import sum_circles
from csst_imaging.photometry.classes import classify
from csst_imaging.photometry.growth import Growth, isolated, measure_growth
from csst_imaging.photometry.kron import kron_fluxes
from csst_imaging.planes import planes_of
from csst_imaging.position.coordinates import add_coordinates
from csst_imaging.position.tpv import with_size
from csst_imaging.stages.detection import point_like
from csstcore.api import Image, Table, UnprocessableData, Wcs, caveat, each, metric, pieces

APERTURE_RADII_PIXEL = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 40.0)
REFERENCE_APERTURE = 2
"""The documented corrections lead to the aperture of 5 pixels."""

TOTAL_FWHM = 1.5
"""The total flux comes from the first aperture of at least this many FWHM."""

APERTURE_FLAGGED, NEIGHBOUR = 16, 1
"""SExtractor's FLAGS bits: aperture cut or incomplete; photometry biased by a neighbour."""

NEIGHBOUR_FRACTION = 0.1


def measure_photometry(
    image: Image, sources: Table, background: Image, wcs: Wcs | None = None
) -> Annotated[Table, "catalog"]:
    """Measure aperture, Kron and total fluxes of sources.

    Fluxes in the twelve documented circular apertures and in the Kron ellipse (Kron 1980,
    ApJS 43, 305), with errors from the variance plane. The growth of flux between the
    apertures is measured on bright isolated unsaturated stars of the frame, varying over the
    field; ``flux_total`` is the flux in a small aperture (the first of at least 1.5 FWHM,
    little disturbed by neighbours) times the growth to the largest, right for point sources.
    Magnitudes come with the zero point, see `calibrate_flux`. Metrics:
    ``aperture_stars``, ``aperture_correction_00`` .. ``_11`` (mag, to the aperture of 5
    pixels; add them), their ``.._error_..``, ``total_correction`` (mag, 5 pixels to total).

    Parameters
    ----------
    image
        Calibrated image; flagged pixels filled.
    sources
        Sources of the image, see `detect_sources`.
    background
        Background of the image.
    wcs
        Solution for the image; without it there are no sky coordinates.

    Returns
    -------
    Table
        The columns of `sources` and fluxes, errors, light radii, ``sky``, ``ra`` and ``dec``
        with errors. ``type`` is 1 for a point source, 2 for an extended one, 0 if not told
        apart; positions of a PSF fit get ``ra_psf``, ``dec_psf``. What could not be measured is
        NaN.

    Raises
    ------
    UnprocessableData
        The background does not fit, there is no variance, or sources have no position.
    """
    if len(sources) == 0:
        raise UnprocessableData("the list of sources is empty")
    table = QTable(sources.table, copy=True)
    lost = ~np.isfinite(values(table, "x", u.pixel) + values(table, "y", u.pixel))
    if lost.any():
        raise UnprocessableData(
            f"{np.count_nonzero(lost)} of {len(table)} sources have no finite x, y"
        )
    for name, column in measure_fluxes(image, background, table).items():
        table[name] = column
    mark_neighbours(table)
    table["type"] = classify(table)
    growth = correct_apertures(table, image.shape)
    total_flux(table, growth, image.shape)
    add_units(table, image.unit)
    add_coordinates(table, None if wcs is None else wcs.wcs)
    solution = image.wcs if wcs is None else wcs.wcs
    return Table(table, meta=image.meta, wcs=with_size(solution, image.shape))


def measure_fluxes(
    image: Image, background: Image, table: QTable
) -> dict[str, NDArray[np.float64]]:
    """Measure all fluxes; bare numbers in the order of the table."""
    planes = planes_of(image, background)
    x, y = values(table, "x", u.pixel) - 1.0, values(table, "y", u.pixel) - 1.0
    a, b = values(table, "a", u.pixel), values(table, "b", u.pixel)
    theta = np.radians(values(table, "theta", u.deg))
    radii = np.array(APERTURE_RADII_PIXEL)

    def measure(run: slice) -> tuple[NDArray[np.generic], ...]:
        flux, error, complete = sum_circles(*planes.all, x[run], y[run], radii)
        kron = kron_fluxes(*planes.all, x[run], y[run], a[run], b[run], theta[run])
        return flux, error, complete, kron

    parts = each(measure, pieces(len(table), 64))
    flux, error, complete, kron = (np.concatenate(part) for part in zip(*parts, strict=True))
    row = np.clip(np.rint(y).astype(int), 0, image.shape[0] - 1)
    column = np.clip(np.rint(x).astype(int), 0, image.shape[1] - 1)
    return {
        "flux_aperture": flux,
        "flux_aperture_error": error,
        "kron_radius": kron[:, 0],
        "kron_scale": kron[:, 1],
        "flux_kron": kron[:, 2],
        "flux_kron_error": kron[:, 3],
        "light_radius": kron[:, 5:],
        "aperture_cut": ((kron[:, 4] > 0) | (complete <= REFERENCE_APERTURE)).astype(np.int32),
        "sky": background.data[row, column].astype(np.float64),
    }


def mark_neighbours(table: QTable) -> None:
    """Set the documented flags for cut apertures and for neighbours near the source."""
    flags = np.asarray(table["flags"], np.int32).copy()
    flags |= np.where(np.asarray(table["aperture_cut"]) != 0, APERTURE_FLAGGED, 0).astype(np.int32)
    table.remove_column("aperture_cut")
    x, y = values(table, "x", u.pixel), values(table, "y", u.pixel)
    flux = np.asarray(table["flux_aperture"])[:, REFERENCE_APERTURE]
    near = APERTURE_RADII_PIXEL[REFERENCE_APERTURE] * 2
    pairs = cKDTree(np.stack([x, y], axis=-1)).query_pairs(near, output_type="ndarray")
    for i, j in (pairs.T, pairs.T[::-1]):
        flags[i[flux[j] > NEIGHBOUR_FRACTION * flux[i]]] |= NEIGHBOUR
    table["flags"] = flags


def scaled(
    table: QTable, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions scaled to -1 .. 1 over the detector."""
    rows, columns = shape
    x = 2.0 * values(table, "x", u.pixel) / columns - 1.0
    y = 2.0 * values(table, "y", u.pixel) / rows - 1.0
    return x, y


def correct_apertures(table: QTable, shape: tuple[int, int]) -> Growth | None:
    """Measure the growth curve and give the documented corrections as metrics."""
    x, y = values(table, "x", u.pixel), values(table, "y", u.pixel)
    flux = np.asarray(table["flux_aperture"])
    error = np.asarray(table["flux_aperture_error"])
    edge = np.minimum.reduce([x, y, shape[1] + 1 - x, shape[0] + 1 - y])
    reference = flux[:, REFERENCE_APERTURE]
    stars = point_like(table) & (edge > APERTURE_RADII_PIXEL[-1]) & (reference > 0)
    clean = np.stack(
        [isolated(x, y, reference, radius + 5.0)[stars] for radius in APERTURE_RADII_PIXEL], axis=-1
    )
    sx, sy = scaled(table, shape)
    area = np.pi * np.array(APERTURE_RADII_PIXEL) ** 2
    growth = measure_growth(
        flux[stars], error[stars], area, clean, sx[stars], sy[stars], REFERENCE_APERTURE
    )
    metric("aperture_stars", int(np.count_nonzero(clean[:, -1])))
    if growth is None:
        caveat(
            f"only {np.count_nonzero(clean[:, -1])} bright isolated stars: aperture corrections "
            "and total fluxes are not measured"
        )
        return None
    centre = np.zeros(1)
    last = len(APERTURE_RADII_PIXEL) - 1
    for k in range(len(APERTURE_RADII_PIXEL)):
        ratio = growth.correction(k, REFERENCE_APERTURE, centre, centre)[0]
        metric(f"aperture_correction_{k:02d}", -2.5 * float(np.log10(ratio)))
        metric(f"aperture_correction_error_{k:02d}", 1.0857 * growth.error(k, REFERENCE_APERTURE))
    ratio = growth.correction(REFERENCE_APERTURE, last, centre, centre)[0]
    metric("total_correction", -2.5 * float(np.log10(ratio)))
    return growth


def total_flux(table: QTable, growth: Growth | None, shape: tuple[int, int]) -> None:
    """Add ``flux_total`` with its error."""
    if growth is None:
        table["flux_total"] = np.full(len(table), np.nan)
        table["flux_total_error"] = np.full(len(table), np.nan)
        return
    fwhm = float(np.median(values(table, "fwhm", u.pixel)[point_like(table)]))
    radii = np.array(APERTURE_RADII_PIXEL)
    small = min(int(np.searchsorted(radii, TOTAL_FWHM * fwhm)), len(radii) - 1)
    last = len(radii) - 1
    ratio = growth.correction(small, last, *scaled(table, shape))
    flux = np.asarray(table["flux_aperture"])[:, small] * ratio
    noise = np.asarray(table["flux_aperture_error"])[:, small] * ratio
    table["flux_total"] = flux
    table["flux_total_error"] = np.hypot(noise, flux * growth.error(small, last))
    metric("aperture_radius_pixel", float(radii[small]))


def add_units(table: QTable, unit: u.UnitBase) -> None:
    """Give fluxes and radii their unit."""
    table["light_radius"] = np.asarray(table["light_radius"]) * u.pixel
    table["kron_radius_pixel"] = (
        np.asarray(table["kron_scale"]) * values(table, "a", u.pixel) * u.pixel
    )
    table.remove_column("kron_scale")
    for name in table.colnames:
        if name.startswith(("flux_", "sky", "peak")):
            table[name] = np.asarray(table[name]) * unit
