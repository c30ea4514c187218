"""World coordinates: the gnomonic plane, and TPV solutions.

TPV is a gnomonic projection with a polynomial between intermediate and tangent-plane
coordinates (registered FITS convention TPV; Calabretta et al. 2004, draft of FITS WCS IV).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from csst_imaging.position.polynomial import basis, powers, terms_of

PV_NUMBERS = (0, 1, 2, *range(4, 11), *range(12, 23), *range(24, 39))
"""PV numbers of the terms up to degree 7; 3, 11, 23 and 39 are odd powers of the radius."""

MAX_DEGREE = 7
"""What TPV can hold."""

NODES = 25
TOLERANCE_MAS = 0.05
WORTH = 1.3
"""A higher degree must lower the error by this factor."""


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


def with_size(wcs: WCS | None, shape: tuple[int, int]) -> WCS | None:
    """Return a copy of a solution that knows the shape (rows, columns) of its image."""
    if wcs is None:
        return None
    sized = wcs.deepcopy()
    sized.pixel_shape = shape[::-1]
    return sized


def project(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], ra0_deg: float, dec0_deg: float
) -> NDArray[np.float64]:
    """Return gnomonic coordinates (2, n) in deg about a point; NaN beyond 90 degrees."""
    a, d = np.radians(ra_deg - ra0_deg), np.radians(dec_deg)
    sin0, cos0 = np.sin(np.radians(dec0_deg)), np.cos(np.radians(dec0_deg))
    sin_d, cos_d = np.sin(d), np.cos(d)
    near = cos_d * np.cos(a)
    depth = sin_d * sin0 + near * cos0
    depth = np.where(depth > 0, depth, np.nan)
    xi = cos_d * np.sin(a) / depth
    eta = (sin_d * cos0 - near * sin0) / depth
    plane: NDArray[np.float64] = np.degrees(np.stack([xi, eta]))
    return plane


def deproject(
    plane_deg: NDArray[np.float64], ra0_deg: float, dec0_deg: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination in deg of gnomonic coordinates (2, n)."""
    xi, eta = np.radians(plane_deg)
    sin0, cos0 = np.sin(np.radians(dec0_deg)), np.cos(np.radians(dec0_deg))
    depth = cos0 - eta * sin0
    ra = ra0_deg + np.degrees(np.arctan2(xi, depth))
    dec = np.degrees(np.arctan2(sin0 + eta * cos0, np.hypot(xi, depth)))
    return ra % 360.0, dec


@dataclass(frozen=True, slots=True)
class Plane:
    """A tangent plane in the pixels of an ideal detector: a gnomonic solution."""

    crpix: NDArray[np.float64]
    ra_deg: float
    dec_deg: float
    cd: NDArray[np.float64]
    """Shape (2, 2), deg per pixel."""

    @classmethod
    def of(cls, wcs: WCS, at: NDArray[np.float64]) -> Plane:
        """Return the gnomonic part of a solution.

        That is its CRPIX, CRVAL and CD for TAN and TPV, otherwise the plane that touches it
        at the pixel `at`.
        """
        projection = {str(ctype)[-3:] for ctype in wcs.wcs.ctype}
        if projection in ({"TAN"}, {"TPV"}):
            matrix = np.array(wcs.pixel_scale_matrix, np.float64)
            ra, dec = wcs.wcs.crval
            return cls(np.array(wcs.wcs.crpix), float(ra), float(dec), matrix)
        ra, dec = wcs.all_pix2world([at], 1)[0]
        steps = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        around = wcs.all_pix2world(at + steps, 1)
        plane = project(around[:, 0], around[:, 1], float(ra), float(dec))
        matrix = np.stack([plane[:, 0] - plane[:, 1], plane[:, 2] - plane[:, 3]], axis=1) / 2
        return cls(np.array(at), float(ra), float(dec), matrix)

    def seen(
        self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the ideal pixels of directions, shape (n, 2); NaN beyond 90 degrees."""
        plane = project(ra_deg, dec_deg, self.ra_deg, self.dec_deg)
        pixel: NDArray[np.float64] = (np.linalg.inv(self.cd) @ plane).T + self.crpix
        return pixel

    def world(self, ideal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return right ascension and declination in deg of ideal pixels (n, 2)."""
        return deproject(self.cd @ (ideal - self.crpix).T, self.ra_deg, self.dec_deg)

    @property
    def scale_mas(self) -> float:
        """Geometric mean of the pixel scales, mas per pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.cd)))) * 3.6e6

    def covariance_pixel2(self, covariance_mas2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return covariances on the sky (3, n) as such of ideal pixels, (3, n)."""
        (a, b), (c, d) = np.linalg.inv(self.cd) / 3.6e6
        ee, en, nn = covariance_mas2
        return np.stack(
            [
                a * a * ee + 2 * a * b * en + b * b * nn,
                a * c * ee + (a * d + b * c) * en + b * d * nn,
                c * c * ee + 2 * c * d * en + d * d * nn,
            ]
        )


def pixel_nodes(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the nodes at which solutions are compared, FITS pixels, shape (n, 2)."""
    rows, columns = shape
    x, y = (0.5 + size * (1 - np.cos(np.linspace(0, np.pi, NODES))) / 2 for size in (columns, rows))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def tpv_of(
    plane: Plane, pixel: NDArray[np.float64], ideal: NDArray[np.float64]
) -> tuple[WCS, int, float]:
    """Return the TPV solution of the least degree that takes pixels to ideal pixels.

    Parameters
    ----------
    plane
        Gives CRPIX, CRVAL and CD; all the rest goes into the polynomials.
    pixel
        Nodes over the detector, FITS pixel, shape (n, 2).
    ideal
        Their ideal pixels in `plane`.

    Returns
    -------
    tuple
        The solution, its degree, and its largest error at the nodes in mas: more than 0.05
        only if the highest degree that TPV has does not hold it.
    """
    middle = plane.cd @ (pixel - plane.crpix).T
    wanted = plane.cd @ (ideal - plane.crpix).T
    center = (middle.max(axis=1) + middle.min(axis=1)) / 2
    size = float(np.abs(middle - center[:, None]).max())
    scaled = ((middle - center[:, None]) / size).T
    solutions, errors_mas = [], []
    for degree in range(1, MAX_DEGREE + 1):
        terms = basis(scaled, degree)
        found = np.asarray(np.linalg.lstsq(terms, wanted.T, rcond=None)[0], np.float64)
        solutions.append(found)
        errors_mas.append(float(np.hypot(*(terms @ found - wanted.T).T).max()) * 3.6e6)
        if errors_mas[-1] < TOLERANCE_MAS:
            break
    good = max(WORTH * min(errors_mas), TOLERANCE_MAS)
    degree = 1 + next(k for k, error in enumerate(errors_mas) if error <= good)
    solution = solutions[degree - 1]
    wcs = tangent_wcs((plane.crpix[0], plane.crpix[1]), plane.ra_deg, plane.dec_deg, plane.cd)
    own_first = ((center, solution[:, 0]), (center[::-1], swap(solution[:, 1], degree)))
    pv = [
        (axis + 1, number, float(value))
        for axis, (at, coefficients) in enumerate(own_first)
        for number, value in zip(PV_NUMBERS, expand(coefficients, at, size, degree), strict=False)
    ]
    wcs.wcs.ctype = ["RA---TPV", "DEC--TPV"]
    wcs.wcs.set_pv(pv)
    wcs.wcs.set()
    return wcs, degree, errors_mas[degree - 1]


def swap(coefficients: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the coefficients with the two coordinates exchanged."""
    place = {power: k for k, power in enumerate(powers(degree))}
    return np.array([coefficients[place[j, i]] for i, j in powers(degree)])


def expand(
    coefficients: NDArray[np.float64], center: NDArray[np.float64], size: float, degree: int
) -> NDArray[np.float64]:
    """Return the coefficients in u, v of a polynomial in (u - center) / size and the like."""
    place = {power: k for k, power in enumerate(powers(degree))}
    result = np.zeros(terms_of(degree))
    for value, (i, j) in zip(coefficients, powers(degree), strict=True):
        for p in range(i + 1):
            for q in range(j + 1):
                rest = (-center[0]) ** (i - p) * (-center[1]) ** (j - q)
                result[place[p, q]] += value * comb(i, p) * comb(j, q) * rest / size ** (i + j)
    return result
