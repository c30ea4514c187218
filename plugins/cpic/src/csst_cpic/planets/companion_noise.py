"""Noise of a reduced image around a ring: how its pixels are correlated, and what it does to a fit.

Residual noise changes with the separation from the star but, to first order, not with the
position angle, so the rest of the ring shows what the noise at the place of a companion is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.ndimage import map_coordinates

from csst_cpic.star.sky_frame import central_pixel
from csstcore.api import UnprocessableData

Float = NDArray[np.float64]

_SMALLEST_POWER = 1e-3
"""Of the spectrum of a covariance, in units of the largest: a measured one has negative ones."""
_WORST_CONDITION = 1e12


@dataclass(frozen=True, eq=False)
class NoiseCorrelation:
    """Covariance of two pixels by how far they are apart."""

    covariance: Float
    """By rows and columns apart, negative ones counted from the end; a positive definite one."""

    @classmethod
    def measured(
        cls, image: NDArray[np.float32], use: NDArray[np.bool_], reach_pixel: int
    ) -> NoiseCorrelation:
        """Measure it from pairs of pixels of a ring, as a function of distance alone.

        Parameters
        ----------
        image
            Residuals.
        use
            The pixels of the ring that show nothing but noise.
        reach_pixel
            Largest distance; beyond it the covariance is zero.

        Raises
        ------
        UnprocessableData
            If the ring is empty.
        """
        values = np.where(use, image, 0.0).astype(np.float64)
        products: dict[int, list[float]] = {}
        for dy in range(reach_pixel + 1):
            for dx in range(-reach_pixel if dy else 0, reach_pixel + 1):
                if dx * dx + dy * dy > reach_pixel**2:
                    continue
                first, second = _shifted(values, dy, dx)
                one, other = _shifted(use, dy, dx)
                total = products.setdefault(dx * dx + dy * dy, [0.0, 0.0])
                total[0] += float(np.sum(first * second))
                total[1] += float(np.count_nonzero(one & other))
        if not products[0][0] > 0:
            raise UnprocessableData("no pixel of the companion's ring shows noise alone")
        apart = np.fft.fftfreq(8 * reach_pixel, 1 / (8 * reach_pixel))
        square = np.rint(apart[:, np.newaxis] ** 2 + apart**2).astype(np.intp)
        means = np.zeros(int(square.max()) + 1)
        for key, (total_product, count) in products.items():
            means[key] = total_product / count if count else 0.0
        power = np.fft.fft2(means[square]).real
        power = np.maximum(power, _SMALLEST_POWER * power.max())
        return cls(np.asarray(np.fft.ifft2(power).real))

    def weighted(
        self, templates: Float, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> Float:
        """Return templates times the inverse of the covariance of the pixels at these places."""
        apart = np.subtract.outer(rows, rows), np.subtract.outer(columns, columns)
        factor = cho_factor(self.covariance[apart], lower=True, check_finite=False)
        return np.asarray(cho_solve(factor, templates.T, check_finite=False).T)


def _shifted(plane: NDArray[Any], dy: int, dx: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the two parts of a plane that lie on each other when it is moved by (dy, dx)."""
    rows, columns = plane.shape
    left, right = max(-dx, 0), max(dx, 0)
    return (
        plane[: rows - dy, left : columns - right],
        plane[dy:, right : columns - left],
    )


@dataclass(frozen=True, eq=False)
class LinearFit:
    """The generalised least-squares step of a few parameters in a patch of the image."""

    responses: Float
    """Derivatives of the image by the parameters at the companion, shape (parameters, rows,
    columns)."""
    noise: NoiseCorrelation
    patch: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Rows and columns of the pixels."""
    estimator: Float
    """Shape (parameters, pixels): times the pixels gives the parameters."""
    formal_errors: Float
    """Standard deviations of the parameters if the noise is as measured."""

    @classmethod
    def of(
        cls,
        responses: Float,
        noise: NoiseCorrelation,
        patch: NDArray[np.bool_],
        turned_deg: float = 0.0,
    ) -> LinearFit:
        """Make one.

        Parameters
        ----------
        responses, noise
            See the class.
        patch
            The pixels to be used.
        turned_deg
            How far the responses are to be turned around the star, through East.

        Raises
        ------
        UnprocessableData
            If the pixels do not tell the parameters apart.
        """
        rows, columns = np.nonzero(patch)
        templates = _turned(responses, rows, columns, turned_deg)
        weighted = noise.weighted(templates, rows, columns)
        normal = weighted @ templates.T
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > _WORST_CONDITION:
            raise UnprocessableData("the reduced image does not tell the companion's parameters")
        errors: Float = np.sqrt(np.diag(np.linalg.inv(normal)))
        estimator = np.linalg.solve(normal, weighted).astype(np.float64)
        return cls(responses, noise, (rows, columns), estimator, errors)

    def turned(self, angle_deg: float, patch: NDArray[np.bool_]) -> LinearFit:
        """Return the same fit at another position angle."""
        return LinearFit.of(self.responses, self.noise, patch, angle_deg)

    def step(self, image: NDArray[np.float32]) -> Float:
        """Return what the residuals of an image amount to."""
        return np.asarray(self.estimator @ image[self.patch].astype(np.float64))


def _turned(
    responses: Float, rows: NDArray[np.intp], columns: NDArray[np.intp], angle_deg: float
) -> Float:
    """Return responses at pixels, as if the companion were at a larger position angle."""
    if not angle_deg:
        return responses[:, rows, columns]
    row, column = central_pixel(responses.shape)
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    dx, dy = columns - column, rows - row
    origin = [row + dy * cosine - dx * sine, column + dx * cosine + dy * sine]
    planes = [map_coordinates(plane, origin, order=3) for plane in responses]
    return np.array(planes, np.float64)
