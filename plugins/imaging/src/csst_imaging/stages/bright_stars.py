"""Flags of ghosts and scattered light of bright stars."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.columns import values
from csst_imaging.position.epoch import stars_at
from csst_imaging.stray_light import Halo, StarColour, StrayLight
from csstcore.api import (
    Image,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    Wcs,
    metric,
    replace,
)

_Floats = NDArray[np.float64]
_SAMPLE = 16
_TYPICAL_COLOUR = 0.8
LARGEST_HALO_PIXEL = 2000.0
_MARGIN_PIXEL = 1500.0
"""Stars so far off the detector still send light to it."""


def flag_bright_stars(
    image: Image,
    filled: Image,
    wcs: Wcs,
    stars: Reference[Table],
    stray_light: Reference[StrayLight],
    *,
    limit_sigma: Annotated[float, Field(gt=0)] = 0.5,
) -> tuple[Annotated[Image, "image"], Annotated[Image, "filled"]]:
    """Flag as ``ghost`` and ``scattered_light`` where bright stars leave light.

    From the reference stars on and about the detector, with their brightness in the filter:
    discs beside each star and a halo about it. A place is flagged where one of them is
    brighter than `limit_sigma` times the noise of a pixel of sky. About a star itself, where
    its image is brighter than its halo, nothing is flagged.

    Parameters
    ----------
    image
        Calibrated image in electron / s.
    filled
        The same with flagged pixels filled.
    wcs
        Solved coordinates; as commanded they are off by more than stars are wide. The
        reference pixel is the optical axis.
    stars
        Reference stars, also those that lie off the detector.
    stray_light
        Where and how bright ghosts and haloes are.
    limit_sigma
        Surface brightness from which on pixels are flagged.

    Returns
    -------
    image, filled
        With one plane of flags in common; all else is shared with the inputs. Metrics
        ``ghost_pixels`` and ``scattered_light_pixels``.

    Raises
    ------
    UnprocessableData
        Without variance or time, in another unit, or with flags of its own in
        `filled`.
    NotApplicable
        If the model has no such filter, or no star has a magnitude.
    """
    if image.unit != u.electron / u.s:
        raise UnprocessableData(f"the image is in {image.unit or 'no unit'}; expected electron / s")
    if image.meta.time is None or image.variance is None:
        raise UnprocessableData("the image needs variance and time")
    if filled.shape != image.shape:
        raise UnprocessableData(
            f"the filled image has shape {filled.shape}; expected {image.shape} as the image"
        )
    band = stray_light.filters.get(image.meta.filter or "")
    if band is None:
        raise NotApplicable(
            f"stray light is known for {', '.join(stray_light.filters)}, not for "
            f"filter {image.meta.filter}"
        )
    if len(stars) and not np.isfinite(values(stars.table, "g_mag")).any():
        raise NotApplicable(f"none of the {len(stars)} reference stars has a magnitude")
    x, y, rate = _place(image, wcs, stars, band)
    sample = image.variance[::_SAMPLE, ::_SAMPLE]
    known = sample[np.isfinite(sample) & (sample > 0)]
    limit = limit_sigma * float(np.sqrt(np.median(known))) if known.size else np.inf
    flags = np.zeros(image.shape, np.uint16) if image.flags is None else image.flags.copy()
    axis = np.asarray(wcs.wcs.wcs.crpix, np.float64)
    ghost, scattered = image.bit("ghost"), image.bit("scattered_light")
    for law in stray_light.ghosts:
        inner = law.hole * law.radius_pixel
        bright = rate * law.fraction / (np.pi * (law.radius_pixel**2 - inner**2)) > limit
        at_x = x + law.shift_pixel[0] + law.scale * (x - axis[0])
        at_y = y + law.shift_pixel[1] + law.scale * (y - axis[1])
        for place in zip(at_x[bright], at_y[bright], strict=True):
            outer = law.radius_pixel + law.margin_pixel
            _flag_ring(flags, place, outer, max(inner - law.margin_pixel, 0.0), ghost)
    radius = _halo_radius(rate, stray_light.halo, limit)
    inner = stray_light.halo.inner_pixel
    for number in np.flatnonzero(radius > inner):
        _flag_ring(flags, (x[number], y[number]), float(radius[number]), inner, scattered)
    counts = np.sum(
        [[np.count_nonzero(row & bit) for bit in (ghost, scattered)] for row in flags], 0
    )
    metric("ghost_pixels", int(counts[0]))
    metric("scattered_light_pixels", int(counts[1]))
    return replace(image, flags=flags), replace(filled, flags=flags)


def _place(
    image: Image, wcs: Wcs, stars: Table, band: StarColour
) -> tuple[_Floats, _Floats, _Floats]:
    """Return positions (1-based pixels) of the stars on and about an image, and their rates."""
    assert image.meta.time is not None  # noqa: S101 - required by the stage
    found = stars_at(stars.table, image.meta.time)
    colour = np.full(len(found), np.nan)
    if "bp_rp" in stars.table.colnames:
        colour = values(stars.table, "bp_rp")
    colour = np.where(np.isfinite(colour), colour, _TYPICAL_COLOUR)
    mag = found.magnitude + band.constant + band.slope * (colour - _TYPICAL_COLOUR)
    rows, columns = image.shape
    outside = [-_MARGIN_PIXEL, -_MARGIN_PIXEL]
    corner = wcs.wcs.wcs_pix2world([[columns / 2, rows / 2], outside], 1)
    away = _cosine(found.ra_deg, found.dec_deg, *corner[0])
    near = np.flatnonzero(away > _cosine(*corner[1], *corner[0]))
    x, y = wcs.wcs.wcs_world2pix(found.ra_deg[near], found.dec_deg[near], 1)
    return x, y, 10.0 ** (0.4 * (band.zero_point_mag - mag[near]))


def _cosine(ra: _Floats, dec: _Floats, ra0: float, dec0: float) -> _Floats:
    """Return the cosine of the distance from a direction; degrees."""
    a, d, d0 = np.radians(ra - ra0), np.radians(dec), np.radians(dec0)
    return np.asarray(np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a))


def _halo_radius(rate: _Floats, halo: Halo, limit: float) -> _Floats:
    """Return where the halo falls to the limit; 0 where it is fainter everywhere."""
    middle = rate * halo.fraction * (halo.exponent - 2.0) / (2.0 * np.pi * halo.core_pixel**2)
    over = np.maximum(middle / limit, 1.0) ** (2.0 / halo.exponent) - 1.0
    return np.asarray(np.minimum(halo.core_pixel * np.sqrt(over), LARGEST_HALO_PIXEL))


def _flag_ring(
    flags: NDArray[np.uint16],
    place: tuple[float, float],
    outer: float,
    inner: float,
    bit: np.uint16,
) -> None:
    """Set a bit between two circles about a 1-based place, in place."""
    x, y = place[0] - 1.0, place[1] - 1.0
    # row by row: squares of a halo's pixels would be as large as a frame
    for row in range(max(0, int(np.ceil(y - outer))), min(len(flags), int(y + outer) + 1)):
        square = (row - y) ** 2
        half = np.sqrt(max(outer**2 - square, 0.0))
        first, last = max(0, int(np.ceil(x - half))), max(0, int(np.floor(x + half)) + 1)
        if square >= inner**2:
            flags[row, first:last] |= bit
            continue
        hole = np.sqrt(inner**2 - square)
        flags[row, first : max(0, int(np.floor(x - hole)) + 1)] |= bit
        flags[row, max(0, int(np.ceil(x + hole))) : last] |= bit
