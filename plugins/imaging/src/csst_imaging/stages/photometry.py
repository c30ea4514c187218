"""Fluxes of sources in apertures."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
import sep
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.apertures import sum_circles
from csst_imaging.bands import Band, bands, check_planes
from csst_imaging.columns import values
from csst_imaging.growth import Growth, isolated, measure_growth
from csst_imaging.stages.detection import point_like
from csst_imaging.tpv import with_size
from csstcore.api import Image, Table, UnprocessableData, Wcs, caveat, metric

APERTURE_RADII_PIXEL = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 40.0)
REFERENCE_APERTURE = 2
"""The documented corrections lead to the aperture of 5 pixels."""

TOTAL_FWHM = 1.5
"""The total flux comes from the first aperture of at least this many FWHM."""

KRON_FACTOR, KRON_MINIMUM = 2.5, 3.5
"""SExtractor's PHOT_AUTOPARAMS."""

APERTURE_FLAGGED, NEIGHBOUR = 16, 1
"""SExtractor's FLAGS bits: aperture cut or incomplete; photometry biased by a neighbour."""

NEIGHBOUR_FRACTION = 0.1
CURVE_RADII = (0.2, 0.5, 0.9)


def measure_photometry(
    image: Image, sources: Table, background: Image, wcs: Wcs | None = None
) -> Annotated[Table, "catalog"]:
    """Measure aperture, Kron and total fluxes of sources.

    Fluxes in the twelve documented circular apertures and in the Kron ellipse (Kron 1980,
    ApJS 43, 305), with errors from the variance plane. The growth of flux between the
    apertures is measured on bright isolated unsaturated stars of the frame, varying over the
    field; ``flux_total`` is the flux in a small aperture (the first of at least 1.5 FWHM,
    little disturbed by neighbours) times the growth to the largest, right for point sources.
    Magnitudes are instrumental, -2.5 log10 of the flux in the unit of the image. Metrics:
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
        The columns of `sources` and fluxes, errors, magnitudes, light radii, ``sky``, ``ra``
        and ``dec`` with errors. What could not be measured is NaN.

    Raises
    ------
    UnprocessableData
        The background does not fit or there is no variance.
    """
    check_planes(image, background)
    if len(sources) == 0:
        raise UnprocessableData("the list of sources is empty")
    table = QTable(sources.table, copy=True)
    row = values(table, "y", u.pixel) - 1.0
    for name, column in measure_fluxes(image, background, table, row).items():
        table[name] = column
    mark_neighbours(table)
    growth = correct_apertures(table, image.shape)
    total_flux(table, growth, image.shape)
    add_units(table, image.unit)
    add_coordinates(table, wcs)
    solution = image.wcs if wcs is None else wcs.wcs
    return Table(table, meta=image.meta, wcs=with_size(solution, image.shape))


def measure_fluxes(
    image: Image, background: Image, table: QTable, row: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Measure all fluxes, band by band; bare numbers in the order of the table."""
    columns: dict[str, NDArray[np.float64]] = {}
    for band in bands(image, background):
        first = -np.inf if band.core_start == 0 else band.core_start - 0.5
        last = np.inf if band.core_stop == image.shape[0] else band.core_stop - 0.5
        mine = (row >= first) & (row < last)
        for name, part in measure_band(band, table[mine]).items():
            whole = columns.setdefault(name, np.zeros((len(table), *part.shape[1:]), part.dtype))
            whole[mine] = part
    nearest = np.clip(np.rint(row).astype(int), 0, image.shape[0] - 1)
    column = np.rint(values(table, "x", u.pixel) - 1.0).astype(int)
    column = np.clip(column, 0, image.shape[1] - 1)
    columns["sky"] = background.data[nearest, column].astype(np.float64)
    return columns


def measure_band(band: Band, table: QTable) -> dict[str, NDArray[np.float64]]:
    """Measure the fluxes of the sources in the core of a band."""
    x = values(table, "x", u.pixel) - 1.0
    y = values(table, "y", u.pixel) - 1.0 - band.start
    a, b = values(table, "a", u.pixel), values(table, "b", u.pixel)
    theta = np.clip(np.radians(values(table, "theta", u.deg)), -np.pi / 2, np.pi / 2)
    data, variance = band.data, band.variance
    flux, error, complete = sum_circles(data, variance, x, y, np.array(APERTURE_RADII_PIXEL))
    mask = None
    if band.valid is not None:
        mask = ~band.valid
        variance = np.where(band.valid, variance, np.float32(0))
    kron = values(table, "kron_radius")
    usable = np.isfinite(kron) & (kron > 0) & (b > 0)
    scale = np.where(usable, np.clip(KRON_FACTOR * kron, KRON_MINIMUM, 30.0), KRON_MINIMUM)
    kron_flux, kron_error, kron_cut = sep.sum_ellipse(
        data, x, y, a, np.minimum(a, b), theta, scale, var=variance, mask=mask
    )
    reach = np.clip(scale * a, 6.0, 100.0)
    radii, _ = sep.flux_radius(
        data, x, y, reach, np.array(CURVE_RADII), normflux=kron_flux, mask=mask
    )
    return {
        "flux_aperture": flux,
        "flux_aperture_error": error,
        "flux_kron": kron_flux,
        "flux_kron_error": kron_error,
        "kron_scale": scale,
        "light_radius": radii,
        "aperture_cut": ((kron_cut != 0) | (complete <= REFERENCE_APERTURE)).astype(np.int32),
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
    """Give fluxes their unit and add instrumental magnitudes with errors."""
    table["light_radius"] = np.asarray(table["light_radius"]) * u.pixel
    table["kron_radius_pixel"] = (
        np.asarray(table["kron_scale"]) * values(table, "a", u.pixel) * u.pixel
    )
    table.remove_column("kron_scale")
    for name in ("aperture", "kron", "total"):
        flux = np.asarray(table[f"flux_{name}"])
        error = np.asarray(table[f"flux_{name}_error"])
        positive = flux > 0
        safe = np.where(positive, flux, 1.0)
        magnitude = np.where(positive, -2.5 * np.log10(safe), np.nan)
        table[f"mag_{name}"] = magnitude * u.mag
        table[f"mag_{name}_error"] = (
            np.where(positive, 2.5 / np.log(10.0) * error / safe, np.nan) * u.mag
        )
    for name in table.colnames:
        if name.startswith(("flux_", "sky", "peak")):
            table[name] = np.asarray(table[name]) * unit


def add_coordinates(table: QTable, wcs: Wcs | None) -> None:
    """Add ``ra``, ``dec`` [deg] with errors [mas]; NaN without a solution."""
    x, y = values(table, "x", u.pixel), values(table, "y", u.pixel)
    if wcs is None:
        nothing = np.full(len(table), np.nan)
        sky = {"ra": nothing, "dec": nothing, "ra_error": nothing, "dec_error": nothing}
    else:
        ra, dec = wcs.wcs.wcs_pix2world(x, y, 1)
        scale = wcs.wcs.pixel_scale_matrix * 3.6e6
        ex, ey = values(table, "x_error", u.pixel), values(table, "y_error", u.pixel)
        sky = {
            "ra": ra,
            "dec": dec,
            "ra_error": np.hypot(scale[0, 0] * ex, scale[0, 1] * ey),
            "dec_error": np.hypot(scale[1, 0] * ex, scale[1, 1] * ey),
        }
    for name, column in sky.items():
        table[name] = column * (u.mas if name.endswith("error") else u.deg)
