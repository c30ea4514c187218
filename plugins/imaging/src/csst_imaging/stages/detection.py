"""Finding and measuring sources."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
import sep
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.bands import Band, bands, check_planes
from csst_imaging.windows import measure_windows, sum_isophotes
from csstcore.api import Image, Table, UnprocessableData, metric

BLENDED, SATURATED, TRUNCATED = 2, 4, 8
"""SExtractor's FLAGS bits for an object that was deblended, is saturated, is cut by an edge."""

SEP_MERGED, SEP_TRUNCATED = 1, 2
PIXEL_STACK = 2_000_000
SUB_OBJECTS = 8192
KRON_REACH = 6.0
FWHM_OVER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def detect_sources(
    image: Image,
    background: Image,
    *,
    threshold: Annotated[float, Field(gt=0)] = 1.5,
    min_area_pixel: Annotated[int, Field(ge=1)] = 4,
    kernel_fwhm_pixel: Annotated[float, Field(gt=0, le=10)] = 2.0,
    deblend_levels: Annotated[int, Field(ge=1, le=64)] = 32,
    deblend_contrast: Annotated[float, Field(ge=0, le=1)] = 0.005,
) -> Annotated[Table, "sources"]:
    """Detect sources and measure their positions, shapes and sizes.

    Detection, deblending and isophotal shapes are SExtractor's (Bertin & Arnouts 1996,
    A&AS 117, 393) as implemented by sep (Barbary 2016, JOSS 1, 58), with a Gaussian matched
    filter. Positions are windowed centroids. Flagged pixels are used as they are: give an
    image whose flagged pixels are filled. Metrics: ``sources``, ``fwhm_pixel`` (median of
    bright point-like sources).

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
    deblend_levels
        Number of levels at which a blend is examined.
    deblend_contrast
        Smallest part of the flux of a blend that counts as a source.

    Returns
    -------
    Table
        One row per source, ordered by row on the detector. ``x``, ``y`` are FITS pixel
        coordinates (centre of the first pixel 1, 1), with ``x_error``, ``y_error``; ``a``,
        ``b`` are second-moment axes, ``theta`` runs from +x to +y; ``fwhm`` is that of the
        matched Gaussian, ``kron_radius`` in units of ``a``; ``flux_isophotal`` with error;
        ``flags`` are SExtractor's FLAGS (2 deblended, 4 saturated, 8 cut by an edge),
        ``flags_isophotal`` the image flags met in the isophote and ``flagged_pixels`` their
        number.

    Raises
    ------
    UnprocessableData
        The background does not fit, there is no variance, or the field is too crowded to
        be deblended.
    """
    check_planes(image, background)
    sep.set_extract_pixstack(PIXEL_STACK)
    sep.set_sub_object_limit(SUB_OBJECTS)
    kernel = gaussian_kernel(kernel_fwhm_pixel)
    pieces = []
    for band in bands(image, background):
        try:
            found, segments = sep.extract(
                band.data,
                threshold,
                var=band.variance,
                mask=None if band.valid is None else ~band.valid,
                minarea=min_area_pixel,
                filter_kernel=kernel,
                filter_type="conv",
                deblend_nthresh=deblend_levels,
                deblend_cont=deblend_contrast,
                segmentation_map=True,
            )
        except Exception as error:  # sep raises bare Exception for its full buffers
            raise UnprocessableData(
                f"rows {band.start} to {band.start + len(band.data)}: {error}"
            ) from None
        pieces.append(measure_band(image, band, found, segments))
    table = QTable({name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]})
    return Table(finish(table), meta=image.meta)


def gaussian_kernel(fwhm_pixel: float) -> NDArray[np.float32]:
    """Return a Gaussian filter of odd width, at least 3 x 3, with sum 1."""
    half = max(int(np.ceil(fwhm_pixel)), 1)
    x = np.arange(-half, half + 1)
    profile = np.exp(-0.5 * (x * FWHM_OVER_SIGMA / fwhm_pixel) ** 2)
    kernel = np.outer(profile, profile)
    return np.asarray(kernel / kernel.sum(), np.float32)


def measure_band(
    image: Image, band: Band, found: NDArray[np.void], segments: NDArray[np.int32]
) -> dict[str, NDArray[np.generic]]:
    """Measure the sources whose peak lies in the core of a band.

    Parameters
    ----------
    image
        The image, for its flags.
    band
        The band in which they were found.
    found
        Objects of `sep.extract`.
    segments
        Its segmentation map.

    Returns
    -------
    dict
        Columns of the catalogue, bare numbers, 0-based positions.
    """
    flags = image.flags
    planes = np.zeros(band.data.shape, np.uint16)
    if flags is not None:
        planes = flags[band.start : band.start + len(band.data)]
    noise, bits, count = sum_isophotes(segments, band.variance, planes, len(found))
    peak_row = found["ypeak"] + band.start
    keep = (peak_row >= band.core_start) & (peak_row < band.core_stop)
    keep &= np.isfinite(found["x"] + found["y"] + found["a"] + found["b"] + found["theta"])
    keep &= found["b"] > 0
    found = found[keep]
    flux, flux_error = found["flux"], np.sqrt(noise[keep])
    x, y = found["x"].astype(np.float64), found["y"].astype(np.float64)
    theta = np.clip(found["theta"], -np.pi / 2, np.pi / 2)
    windows = measure_windows(band.data, band.variance, x, y, np.sqrt(found["a"] * found["b"]))
    kron, _ = sep.kron_radius(band.data, x, y, found["a"], found["b"], theta, KRON_REACH)
    out_flags = np.where(found["flag"] & SEP_MERGED, BLENDED, 0)
    out_flags |= np.where(found["flag"] & SEP_TRUNCATED, TRUNCATED, 0)
    if flags is not None and "saturated" in image.flag_bits:
        out_flags |= np.where(bits[keep] & int(image.bit("saturated")), SATURATED, 0)
    return {
        "x": windows[:, 0],
        "y": windows[:, 1] + band.start,
        "x_error": windows[:, 2],
        "y_error": windows[:, 3],
        "fwhm": windows[:, 4] * FWHM_OVER_SIGMA,
        "converged": windows[:, 5] > 0,
        "a": found["a"],
        "b": found["b"],
        "theta": np.degrees(theta),
        "kron_radius": kron,
        "flux_isophotal": flux,
        "flux_isophotal_error": flux_error,
        "peak": found["peak"],
        "area": found["npix"].astype(np.int32),
        "flags": out_flags.astype(np.int32),
        "flags_isophotal": bits[keep],
        "flagged_pixels": count[keep],
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
        ``converged``.
    """
    fwhm = np.asarray(getattr(table["fwhm"], "value", table["fwhm"]), float)
    good = (np.asarray(table["flags"]) & ~BLENDED) == 0
    good &= np.asarray(table["flags_isophotal"]) == 0
    good &= np.asarray(table["converged"])
    ratio = np.asarray(table["flux_isophotal"] / table["flux_isophotal_error"], float)
    for faintest in (100.0, 50.0, 20.0):
        bright = good & (ratio > faintest)
        if np.count_nonzero(bright) >= 20:
            break
    if not bright.any():
        return np.zeros(len(table), np.bool_)
    mode = half_sample_mode(np.sort(fwhm[bright]))
    return np.asarray(bright & (np.abs(fwhm - mode) < 0.12 * mode), np.bool_)


def half_sample_mode(ordered: NDArray[np.float64]) -> float:
    """Return the mode of ordered values by halving (Bickel & Frühwirth 2006, CSDA 50, 3500)."""
    while ordered.size > 3:
        half = (ordered.size + 1) // 2
        start = int(np.argmin(ordered[half - 1 :] - ordered[: ordered.size - half + 1]))
        ordered = ordered[start : start + half]
    return float(np.mean(ordered))
