"""Finding and measuring sources."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.detection.blends import part_islands
from csst_imaging.detection.cleaning import wing_detections
from csst_imaging.detection.filtering import FWHM_OVER_SIGMA, bright_pixels, gaussian_profile
from csst_imaging.detection.isophotes import COLUMNS, axes, sum_isophotes
from csst_imaging.detection.mode import half_sample_mode
from csst_imaging.photometry.windows import measure_windows
from csst_imaging.planes import Planes, planes_of
from csstcore.api import Image, Table, each, metric

BLENDED, SATURATED, TRUNCATED = 2, 4, 8
"""SExtractor's FLAGS bits for an object that was deblended, is saturated, is cut by an edge."""

STRIP_ROWS = 1024
MARGIN_ROWS = 128
"""Strips of rows are searched each by itself; a source belongs to the one that has its peak."""


def detect_sources(
    image: Image,
    background: Image,
    *,
    threshold: Annotated[float, Field(gt=0)] = 1.5,
    min_area_pixel: Annotated[int, Field(ge=1)] = 4,
    kernel_fwhm_pixel: Annotated[float, Field(gt=0, le=10)] = 2.0,
    deblend_contrast: Annotated[float, Field(ge=0, le=1)] = 0.005,
) -> Annotated[Table, "sources"]:
    """Detect sources and measure their positions, shapes and sizes.

    Pixels above a threshold after a Gaussian matched filter form islands; an island is parted
    at its saddles where both branches hold enough flux, and what is only the wings of a
    brighter source is dropped (Bertin & Arnouts 1996, A&AS 117, 393, with all levels instead of
    32). Positions are windowed centroids, isophotal ones where the
    window does not settle on the source (``converged`` is false). Flagged pixels are used
    as they are: give an image whose flagged pixels are filled. Metrics: ``sources``,
    ``fwhm_pixel`` (median of bright point-like sources).

    Parameters
    ----------
    image
        Calibrated image, float32.
    background
        Its background.
    threshold
        Detection threshold, in standard deviations of the noise of a pixel (from the variance
        of the image; without one, of the background).
    min_area_pixel
        Fewest pixels above the threshold.
    kernel_fwhm_pixel
        Width of the detection filter.
    deblend_contrast
        Smallest part of the flux of two blended sources, above the saddle between them, that
        the fainter one has.

    Returns
    -------
    Table
        One row per source, ordered by row on the detector. ``x``, ``y`` are FITS pixel
        coordinates (centre of the first pixel 1, 1), with ``x_error``, ``y_error``; ``a``,
        ``b`` are second-moment axes, ``theta`` runs from +x to +y; ``fwhm`` is that of the
        matched Gaussian; ``flux_isophotal`` with error; ``flags`` are SExtractor's FLAGS
        (2 deblended, 4 saturated, 8 cut by an edge), ``flags_isophotal`` the image flags met in
        the isophote and ``flagged_pixels`` their number.

    Raises
    ------
    UnprocessableData
        The background does not fit, or there is no variance.
    """
    planes = planes_of(image, background)
    profile = gaussian_profile(kernel_fwhm_pixel)

    def search(strip: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
        start, stop = strip
        top, bottom = max(start - MARGIN_ROWS, 0), min(stop + MARGIN_ROWS, len(planes.data))
        pixels = bright_pixels(*planes.all, profile, threshold, top, bottom)
        source, blended, margin = part_islands(*pixels, min_area_pixel, deblend_contrast)
        sums = sum_isophotes(*planes.all, planes.flags, *pixels[:3], source, len(blended))
        order = np.argsort(sums[:, COLUMNS.index("y")])
        found = dict(zip(COLUMNS, sums[order].T, strict=True))
        found["blended"] = blended[order]
        found["a"], found["b"], found["angle"] = axes(found["xx"], found["yy"], found["xy"])
        keep = (found["top_row"] >= start) & (found["top_row"] < stop)
        keep &= ~wings(planes, found, margin[order], threshold)
        return measure(image, planes, {name: column[keep] for name, column in found.items()})

    rows = len(planes.data)
    number = max(round(rows / STRIP_ROWS), 1)
    edges = [rows * k // number for k in range(number + 1)]
    parts = each(search, list(pairwise(edges)))
    table = QTable({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return Table(finish(table), meta=image.meta)


def wings(
    planes: Planes,
    found: dict[str, NDArray[np.float64]],
    margin: NDArray[np.float64],
    threshold: float,
) -> NDArray[np.bool_]:
    """Return which sources of a strip are only the wings of a brighter one."""
    peak = found["top_row"].astype(int), found["top_column"].astype(int)
    limit = threshold * np.sqrt(planes.variance[peak].astype(np.float64))
    shape = (found[name] for name in ("x", "y", "a", "b", "angle", "filtered", "area"))
    return wing_detections(*(np.ascontiguousarray(column) for column in (*shape, limit, margin)))


def measure(
    image: Image, planes: Planes, found: dict[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.generic]]:
    """Measure shapes, positions and flags.

    Parameters
    ----------
    image
        The image, for its flag bits.
    planes
        Its planes.
    found
        Sums over the isophotes, axes, and whether a source shares its island.

    Returns
    -------
    dict
        Columns of the catalogue, bare numbers, 0-based positions.
    """
    a, b = found["a"], found["b"]
    windows = measure_windows(*planes.all, found["x"], found["y"], np.sqrt(a * b))
    bits = found["bits"].astype(np.int32)
    flags = np.where(found["blended"], BLENDED, 0) | np.where(found["truncated"] > 0, TRUNCATED, 0)
    if image.flags is not None and "saturated" in image.flag_bits:
        flags |= np.where(bits & int(image.bit("saturated")), SATURATED, 0)
    converged = windows[:, 5] > 0
    return {
        "x": windows[:, 0],
        "y": windows[:, 1],
        "x_error": np.where(converged, windows[:, 2], np.sqrt(found["x_noise"])),
        "y_error": np.where(converged, windows[:, 3], np.sqrt(found["y_noise"])),
        "fwhm": np.where(converged, windows[:, 4], np.sqrt(a * b)) * FWHM_OVER_SIGMA,
        "converged": converged,
        "a": a,
        "b": b,
        "theta": np.degrees(found["angle"]),
        "flux_isophotal": found["flux"],
        "flux_isophotal_error": np.sqrt(found["noise"]),
        "peak": found["peak"],
        "area": found["area"].astype(np.int32),
        "flags": flags.astype(np.int32),
        "flags_isophotal": bits,
        "flagged_pixels": found["flagged"].astype(np.int32),
    }


def finish(table: QTable) -> QTable:
    """Order the rows, number them, add derived columns, units and metrics."""
    table = table[np.lexsort((table["x"], table["y"]))]
    table.add_column(np.arange(1, len(table) + 1, dtype=np.int32), name="id", index=0)
    table["x"] += 1.0
    table["y"] += 1.0
    relative = np.sqrt(2.0) * table["flux_isophotal_error"] / np.abs(table["flux_isophotal"])
    for axis in "ab":  # Condon 1997, PASP 109, 166
        table[f"{axis}_error"] = table[axis] * relative
    table["axis_ratio"] = table["b"] / table["a"]
    table["ellipticity"] = 1.0 - table["axis_ratio"]
    metric("sources", len(table))
    stars = point_like(table)
    if stars.any():
        metric("fwhm_pixel", float(np.median(table["fwhm"][stars])))
    for name in ("x", "y", "x_error", "y_error", "fwhm", "a", "b", "a_error", "b_error"):
        table[name].unit = u.pixel
    table["theta"].unit = u.deg
    return QTable(table)


def point_like(table: QTable) -> NDArray[np.bool_]:
    """Return which sources are bright, clean, and as small as the bright sources' mode.

    Parameters
    ----------
    table
        Columns ``fwhm``, ``flux_isophotal`` with error, ``flags``, ``flags_isophotal``,
        ``converged``; of catalogues as written, which lack some, ``flux_kron`` serves.
    """
    fwhm = np.asarray(getattr(table["fwhm"], "value", table["fwhm"]), float)
    good = (np.asarray(table["flags"]) & ~BLENDED) == 0
    good &= np.asarray(table["flags_isophotal"]) == 0
    if "converged" in table.colnames:
        good &= np.asarray(table["converged"])
    name = "flux_isophotal" if "flux_isophotal" in table.colnames else "flux_kron"
    ratio = np.asarray(table[name] / table[f"{name}_error"], float)
    for faintest in (100.0, 50.0, 20.0):
        bright = good & (ratio > faintest)
        if np.count_nonzero(bright) >= 20:
            break
    if not bright.any():
        return np.zeros(len(table), np.bool_)
    mode = half_sample_mode(np.sort(fwhm[bright]))
    return np.asarray(bright & (np.abs(fwhm - mode) < 0.12 * mode), np.bool_)
