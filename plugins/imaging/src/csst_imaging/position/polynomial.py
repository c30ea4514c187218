"""Polynomials of two coordinates, and fitting them with correlated errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def powers(degree: int) -> list[tuple[int, int]]:
    """Return the powers of the two coordinates, by rising degree: 1, u, v, u^2, u v, v^2 .."""
    return [(n - j, j) for n in range(degree + 1) for j in range(n + 1)]


def terms_of(degree: int) -> int:
    """Return the number of terms up to a degree."""
    return (degree + 1) * (degree + 2) // 2


def basis(points: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the terms of points (n, 2), shape (n, terms)."""
    u, v = np.ones((degree + 1, len(points))), np.ones((degree + 1, len(points)))
    for n in range(1, degree + 1):
        u[n], v[n] = u[n - 1] * points[:, 0], v[n - 1] * points[:, 1]
    return np.stack([u[i] * v[j] for i, j in powers(degree)], axis=-1)


@dataclass(slots=True)
class Normal:
    """Normal equations of two polynomials, one along each axis, with correlated errors.

    Unknowns are the coefficients along x, then those along y.
    """

    matrix: NDArray[np.float64]
    """Shape (2 terms, 2 terms)."""
    vector: NDArray[np.float64]

    @classmethod
    def zero(cls, terms: int) -> Normal:
        """Return the equations of no points."""
        return cls(np.zeros((2 * terms, 2 * terms)), np.zeros(2 * terms))

    def add(
        self,
        terms: NDArray[np.float64],
        value: NDArray[np.float64],
        information: NDArray[np.float64],
        at: NDArray[np.intp] | None = None,
    ) -> None:
        """Add points.

        Parameters
        ----------
        terms
            Shape (n, terms).
        value
            Shape (n, 2).
        information
            Inverse covariances, shape (3, n): xx, xy, yy.
        at
            Which of the polynomials' terms these are; all, without it.
        """
        half = len(self.vector) // 2
        rows = np.arange(half) if at is None else at
        xx, xy, yy = information
        weighted = np.concatenate([terms * xx[:, None], terms * yy[:, None]], axis=1)
        crossed = terms * xy[:, None]
        n = terms.shape[1]
        products = terms.T @ np.concatenate([weighted, crossed], axis=1)
        self.matrix[np.ix_(rows, rows)] += products[:, :n]
        self.matrix[np.ix_(rows + half, rows + half)] += products[:, n : 2 * n]
        self.matrix[np.ix_(rows, rows + half)] += products[:, 2 * n :]
        self.matrix[np.ix_(rows + half, rows)] += products[:, 2 * n :].T
        x, y = value.T
        self.vector[rows] += terms.T @ (xx * x + xy * y)
        self.vector[rows + half] += terms.T @ (xy * x + yy * y)

    def add_prior(self, sigma: NDArray[np.float64], value: NDArray[np.float64]) -> None:
        """Add Gaussian knowledge of the coefficients.

        Parameters
        ----------
        sigma
            Errors (terms,), the same along both axes; infinite where nothing is known.
        value
            Shape (terms, 2).
        """
        weight = np.tile(sigma**-2.0, 2)
        self.matrix[np.diag_indices_from(self.matrix)] += weight
        self.vector += weight * value.T.ravel()

    def solve(self) -> NDArray[np.float64]:
        """Return the coefficients, shape (terms, 2); those that nothing fixes are the least."""
        scale = np.sqrt(np.maximum(np.diag(self.matrix), 1e-300))
        matrix = self.matrix / scale[:, None] / scale
        try:
            scaled = np.linalg.solve(matrix, self.vector / scale)
        except np.linalg.LinAlgError:
            scaled = np.linalg.lstsq(matrix, self.vector / scale, rcond=1e-12)[0]
        solution: NDArray[np.float64] = (scaled / scale).reshape(2, -1).T
        return solution

    def variance(self) -> NDArray[np.float64]:
        """Return the variances of the coefficients, shape (terms, 2); all must be fixed."""
        scale = np.sqrt(np.diag(self.matrix))
        inverse = np.linalg.inv(self.matrix / scale[:, None] / scale)
        variance: NDArray[np.float64] = (np.diag(inverse) / scale**2).reshape(2, -1).T
        return variance


def invert_covariance(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverses of 2 x 2 covariances, shape (3, n): xx, xy, yy."""
    xx, xy, yy = covariance
    inverse: NDArray[np.float64] = np.stack([yy, -xy, xx]) / (xx * yy - xy * xy)
    return inverse
