"""Coordinates of sources on the sky, with their errors."""

from __future__ import annotations

from collections.abc import Callable

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray

from csst_imaging.columns import values

Floats = NDArray[np.float64]


def add_coordinates(
    table: QTable, wcs: WCS | None, world: Callable[[Floats], tuple[Floats, Floats]] | None = None
) -> None:
    """Add ``ra``, ``dec`` [deg] with errors [mas]; NaN without a solution.

    The positions of the PSF fit, if there are any, get ``ra_psf``, ``dec_psf`` alike. Errors are
    those of the pixel positions, not of the solution.

    Parameters
    ----------
    table
        Sources with ``x``, ``y``; without ``x_error``, ``y_error`` errors are NaN. A position
        with a negative error is unknown.
    wcs
        The solution.
    world
        The map from FITS pixels (n, 2) to right ascension and declination that `wcs` was made
        from, where it is known better.
    """
    for suffix in ("", "_psf"):
        if f"x{suffix}" not in table.colnames:
            continue
        pixel = np.stack([values(table, f"{axis}{suffix}", u.pixel) for axis in "xy"], axis=-1)
        ra, dec, ra_error, dec_error = (np.full(len(table), np.nan) for _ in range(4))
        errors = [f"{axis}{suffix}_error" for axis in "xy"]
        has_errors = set(errors) <= set(table.colnames)
        ex, ey = (values(table, name, u.pixel) if has_errors else ra_error for name in errors)
        known = np.isfinite(pixel).all(axis=1) & ~(ex < 0) & ~(ey < 0)  # -1: fill of a file
        if wcs is not None:
            place = wcs.wcs_pix2world(pixel[known], 1).T if world is None else world(pixel[known])
            ra[known], dec[known] = place
            scale = wcs.pixel_scale_matrix * 3.6e6
            ra_error[known] = np.hypot(scale[0, 0] * ex, scale[0, 1] * ey)[known]
            dec_error[known] = np.hypot(scale[1, 0] * ex, scale[1, 1] * ey)[known]
        table[f"ra{suffix}"], table[f"dec{suffix}"] = ra * u.deg, dec * u.deg
        table[f"ra{suffix}_error"] = ra_error * u.mas
        table[f"dec{suffix}_error"] = dec_error * u.mas
