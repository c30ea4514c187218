"""Fitting a TPV world-coordinate solution.

TPV is a gnomonic projection with a polynomial between intermediate and tangent-plane
coordinates (registered FITS convention TPV; Calabretta et al. 2004, draft of FITS WCS IV).
"""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
"""Powers of the axis' own and of the other coordinate, in the order of the PV numbers."""

PV_NUMBERS = (0, 1, 2, 4, 5, 6, 7, 8, 9, 10)
TERMS = {1: 3, 2: 6, 3: 10}
"""Number of terms by order."""


def tangent_wcs(center_pixel: tuple[float, float], ra: float, dec: float, cd: object) -> WCS:
    """Return a gnomonic WCS.

    Parameters
    ----------
    center_pixel
        CRPIX, FITS pixel.
    ra, dec
        CRVAL, deg.
    cd
        CD matrix, deg per pixel.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crpix = center_pixel
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.cd = cd
    wcs.wcs.set()
    return wcs


def project(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], ra0_deg: float, dec0_deg: float
) -> NDArray[np.float64]:
    """Return gnomonic coordinates (2, n) in deg about a point; NaN beyond 90 degrees."""
    a, d = np.radians(ra_deg - ra0_deg), np.radians(dec_deg)
    d0 = np.radians(dec0_deg)
    depth = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a)
    depth = np.where(depth > 0, depth, np.nan)
    xi = np.cos(d) * np.sin(a) / depth
    eta = (np.sin(d) * np.cos(d0) - np.cos(d) * np.sin(d0) * np.cos(a)) / depth
    plane: NDArray[np.float64] = np.degrees(np.stack([xi, eta]))
    return plane


def terms(u: NDArray[np.float64], v: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Return the polynomial terms of one axis, shape (points, terms).

    Parameters
    ----------
    u, v
        The axis' own intermediate coordinate and the other one.
    order
        1, 2 or 3.
    """
    return np.stack([u**i * v**j for i, j in POWERS[: TERMS[order]]], axis=-1)


def fit_tpv(
    pixel: NDArray[np.float64],
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    weight: NDArray[np.float64],
    start: WCS,
    order: int,
) -> WCS:
    """Fit a TPV solution by weighted linear least squares.

    Parameters
    ----------
    pixel
        FITS pixel positions, shape (n, 2).
    ra_deg, dec_deg
        Their sky positions.
    weight
        Inverse errors along both axes, shape (2, n).
    start
        A solution near the truth; its reference pixel is kept, its reference value and CD
        matrix are improved so that they describe the solution to first order.
    order
        Order of the polynomial.

    Returns
    -------
    WCS
        CTYPE ``RA---TPV``, ``DEC--TPV``, CD matrix and PVi_j.
    """
    center = start.wcs.crpix
    offset = (pixel - center).T
    scale = float(np.abs(offset).max())
    basis = terms(offset[0] / scale, offset[1] / scale, order)
    ra0, dec0 = start.wcs_pix2world([center], 1)[0]
    for _ in range(3):  # bring the reference value under the reference pixel
        plane = project(ra_deg, dec_deg, ra0, dec0)
        linear = np.stack([solve(basis, plane[k], weight[k]) for k in range(2)])
        flat = tangent_wcs((0.0, 0.0), ra0, dec0, np.eye(2))
        ra0, dec0 = flat.wcs_pix2world([linear[:, 0]], 1)[0]
    cd = linear[:, 1:3] / scale
    middle = cd @ offset
    size = float(np.abs(middle).max())
    wcs = tangent_wcs((center[0], center[1]), ra0, dec0, cd)
    plane = project(ra_deg, dec_deg, ra0, dec0)
    pv = []
    for axis in range(2):
        own, other = middle[axis] / size, middle[1 - axis] / size
        solution = solve(terms(own, other, order), plane[axis], weight[axis])
        for value, number, (i, j) in zip(solution, PV_NUMBERS, POWERS, strict=False):
            pv.append((axis + 1, number, float(value / size ** (i + j))))
    wcs.wcs.ctype = ["RA---TPV", "DEC--TPV"]
    wcs.wcs.set_pv(pv)
    wcs.wcs.set()
    return wcs


def solve(
    matrix: NDArray[np.float64], value: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weighted least-squares solution."""
    solution = np.linalg.lstsq(matrix * weight[:, None], value * weight, rcond=None)[0]
    return np.asarray(solution, np.float64)
