"""How much the shapes of stars vary over the field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_imaging.psf.shape import adaptive_moments

Floats = NDArray[np.float64]

STARS_PER_TERM = 8
SHAPE_PIXEL = 13
"""Side of the stamps whose shapes are measured."""

FEWEST = 20


def choose_degree(
    data: NDArray[np.float32],
    used: NDArray[np.bool_],
    signal_to_noise: Floats,
    terms: Floats,
    degrees: tuple[int, int],
    sigma_pixel: float,
) -> int:
    """Choose the degree of the polynomial by the sizes and ellipticities of the stars.

    Of the degrees for which there are eight stars a term, the one with the least Bayesian
    information criterion (Schwarz 1978, Ann. Statist. 6, 461) for the adaptive moments.

    Parameters
    ----------
    data, used
        Stamps of stars, and which pixels count.
    signal_to_noise
        Of the stars.
    terms
        Terms of the largest degree, in the order of `Psf`.
    degrees
        Lowest and largest degree; lower than the lowest only with few stars.
    sigma_pixel
        Rough width of the PSF.
    """
    lowest, largest = degrees
    most = max(d for d in range(largest + 1) if d == 0 or count(d) * STARS_PER_TERM <= len(data))
    edge = max(0, (data.shape[1] - max(SHAPE_PIXEL, int(8 * sigma_pixel) | 1)) // 2)
    inner = np.s_[:, edge : data.shape[1] - edge, edge : data.shape[1] - edge]
    moments = adaptive_moments(np.ascontiguousarray(data[inner]), sigma_pixel)
    good = used[inner].all(axis=(1, 2)) & np.isfinite(moments).all(axis=1)
    if most <= lowest or np.count_nonzero(good) < FEWEST + 2 * count(most):
        return min(lowest, most)
    shapes = np.column_stack([moments[good, 2] / np.median(moments[good, 2]), moments[good, 3:]])
    weight = 1.0 / (signal_to_noise[good] ** -2 + 1e-5)
    powers = [i + j for j in range(largest + 1) for i in range(largest + 1 - j)]
    best, least = most, np.inf
    for degree in range(min(lowest, most), most + 1):
        design = terms[good][:, np.array(powers) <= degree]
        root = np.sqrt(weight)[:, None]
        fit = np.linalg.lstsq(design * root, shapes * root, rcond=None)[0]
        residual = np.sum((shapes - design @ fit) ** 2 * weight[:, None], axis=0)
        number = len(shapes)
        penalty = count(degree) * np.log(number)
        criterion = float(np.sum(number * np.log(residual / number) + penalty))
        if criterion < least:
            best, least = degree, criterion
    return best


def count(degree: int) -> int:
    """Return how many terms a polynomial in two variables has."""
    return (degree + 1) * (degree + 2) // 2
