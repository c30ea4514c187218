"""Moment maps of a line."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.common_axis import velocity_km_s
from csst_hstdm.moment_maps import MOMENT_FLAG_BITS, MomentMaps
from csst_hstdm.spectral_map import MAP_FLAG_BITS, SpectralMap
from csstcore.api import NotApplicable, Table, UnprocessableData, metric

Positive = Annotated[float, Field(gt=0)]


def make_moments(
    cube: SpectralMap,
    lines: Table,
    *,
    line: str = "",
    reach_fwhm: Positive = 1.5,
    margin_km_s: Annotated[float, Field(ge=0)] = 2.0,
    threshold: Positive = 3.0,
    clip: Annotated[float, Field(ge=0)] = 3.0,
) -> Annotated[MomentMaps, "moments"]:
    """Integrate a line over its channels in each pixel: moments 0, 1 and 2 with errors.

    ``M0 = sum(T) dv``, ``M1 = sum(v T) / sum(T)``, ``M2 = sqrt(sum((v - M1)^2 T) / sum(T))``, with
    errors from the variances. M0 adds all channels of the window, so that it is not biased by
    noise; M1 and M2 those from the first to the last that stands out of the noise, and as many to
    either side.

    Parameters
    ----------
    cube
        The map.
    lines
        Of `find_lines`, from the average of the same dumps.
    line
        Name of the line; the most significant one if empty.
    reach_fwhm
        The window reaches this many widths of the line to either side.
    margin_km_s
        Besides, this much.
    threshold
        Least significance of M0 for M1 and M2; pixels below are flagged ``no_line``.
    clip
        Channels count for M1 and M2 from this many times the noise on, 0 for all.

    Raises
    ------
    NotApplicable
        If no line, or not that one, was found.
    """
    table = lines.table
    rows = [k for k in range(len(table)) if not line or str(table["name"][k]) == line]
    if not rows:
        raise NotApplicable(f"the line {line} was not found" if line else "no line was found")
    if cube.variance is None:
        raise UnprocessableData("the cube carries no variance")
    found = table[rows[0]]
    rest_hz = float(found["rest_frequency"].to_value(u.Hz))
    velocity = velocity_km_s(cube.frequency_hz, rest_hz)
    centre, width = (float(found[name].to_value(u.km / u.s)) for name in ("velocity", "fwhm"))
    inside = np.flatnonzero(np.abs(velocity - centre) <= reach_fwhm * width + margin_km_s)
    if len(inside) < 3:
        raise UnprocessableData(
            f"the line at {centre:.1f} km/s has {len(inside)} channels in the cube; expected 3"
        )
    window = slice(inside[0], inside[-1] + 1)
    data, variance = cube.data[window].astype(float), cube.variance[window].astype(float)
    maps = _moments(
        data, variance, velocity[window], cube.resampled_variance, threshold=threshold, clip=clip
    )
    flags = _flags(cube, window, np.isfinite(maps[0]), np.isfinite(maps[2]))
    metric("moment_line", str(found["name"]))
    total = float(np.nansum(np.where(flags & MOMENT_FLAG_BITS["border"], 0, maps[0])))
    metric("moment_0_sum", total)
    k_km_s, km_s = u.K * u.km / u.s, u.km / u.s
    m0, e0, m1, e1, m2, e2 = (plane.astype(np.float32) for plane in maps)
    return MomentMaps(
        m0 * k_km_s,
        e0 * k_km_s,
        m1 * km_s,
        e1 * km_s,
        m2 * km_s,
        e2 * km_s,
        flags=flags,
        wcs=None if cube.wcs is None else cube.wcs.celestial,
        line=str(found["name"]),
        rest_frequency_hz=rest_hz,
        lowest_km_s=float(velocity[window].min()),
        highest_km_s=float(velocity[window].max()),
        meta=cube.meta,
    )


def _moments(
    data: NDArray[np.float64],
    variance: NDArray[np.float64],
    velocity: NDArray[np.float64],
    shared: float,
    *,
    threshold: float,
    clip: float,
) -> list[NDArray[np.float64]]:
    """Return M0, M1 and M2, each followed by its error."""
    step = abs(float(np.mean(np.diff(velocity))))
    good = np.isfinite(data) & np.isfinite(variance)
    data, variance = np.where(good, data, 0.0), np.where(good, variance, 0.0) / shared
    complete = good.all(axis=0)
    m0 = np.where(complete, data.sum(axis=0) * step, np.nan)
    e0 = np.where(complete, np.sqrt(variance.sum(axis=0)) * step, np.nan)
    used = _standing_out(data, variance * shared, clip) & good
    data, variance = np.where(used, data, 0.0), np.where(used, variance, 0.0)
    v = velocity[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = data.sum(axis=0)
        m1 = (v * data).sum(axis=0) / total
        e1 = np.sqrt(((v - m1) ** 2 * variance).sum(axis=0)) / np.abs(total)
        square = ((v - m1) ** 2 * data).sum(axis=0) / total
        m2 = np.sqrt(square)
        spread = np.sqrt((((v - m1) ** 2 - square) ** 2 * variance).sum(axis=0))
        e2 = spread / np.abs(total) / (2 * m2)
        weak = ~(np.abs(m0) >= threshold * e0) | ~(square > 0)
    for plane in (m1, e1, m2, e2):
        plane[weak] = np.nan
    return [m0, e0, m1, e1, m2, e2]


def _standing_out(
    data: NDArray[np.float64], variance: NDArray[np.float64], clip: float
) -> NDArray[np.bool_]:
    """Return the channels from the first to the last that stands out, and as many about them."""
    if clip == 0:
        return np.ones(data.shape, bool)
    core = np.abs(data) > clip * np.sqrt(variance)
    first = np.argmax(core, axis=0)
    last = len(core) - 1 - np.argmax(core[::-1], axis=0)
    extent = last - first + 1
    channel = np.arange(len(core))[:, None, None]
    inside = (channel >= first - extent) & (channel <= last + extent)
    return np.asarray(inside & core.any(axis=0))


def _flags(
    cube: SpectralMap, window: slice, data: NDArray[np.bool_], line: NDArray[np.bool_]
) -> NDArray[np.uint16]:
    flags = np.zeros(data.shape, np.uint16)
    if cube.flags is not None:
        bit = cube.flag_bits.get("border", MAP_FLAG_BITS["border"])
        border = np.any(cube.flags[window] & bit, axis=0)
        flags[border] |= np.uint16(MOMENT_FLAG_BITS["border"])
    flags[~data] |= np.uint16(MOMENT_FLAG_BITS["no_data"])
    flags[data & ~line] |= np.uint16(MOMENT_FLAG_BITS["no_line"])
    return flags
