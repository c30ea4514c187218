"""Non-negative components of reference frames."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

ITERATIONS: Final = 300
TOLERANCE: Final = 1e-5
"""Updates end when the residual falls by less than this part of itself over ten of them."""


def nmf_models(
    frames: NDArray[np.float64],
    references: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    components: int,
) -> NDArray[np.float64]:
    """Return the model of each frame by non-negative components of its reference frames.

    The references are factorised with multiplicative updates (Lee & Seung 2001; for high
    contrast Ren et al. 2018, ApJ 852, 104), and each frame is fitted with amplitudes that are
    not negative. Components are made once for all frames with the same references: quick with
    a library, slow where the rotation gives each frame its own.

    Parameters
    ----------
    frames
        Shape (frames, pixels).
    references
        Shape (references, pixels); negative values count as zero.
    allowed
        Which references may model which frame; shape (frames, references).
    components
        Number of components; fewer where there are fewer references.

    Returns
    -------
    NDArray
        Shape (frames, pixels).
    """
    positive = np.maximum(references, 0.0)
    models = np.zeros_like(frames)
    sets, which = np.unique(allowed, axis=0, return_inverse=True)
    for number, chosen in enumerate(sets):
        if not chosen.any():
            continue
        basis = non_negative_components(positive[chosen], components)
        for frame in np.flatnonzero(which.ravel() == number):
            amplitudes, _ = nnls(basis.T, frames[frame])
            models[frame] = amplitudes @ basis
    return models


def non_negative_components(
    references: NDArray[np.float64], components: int
) -> NDArray[np.float64]:
    """Return components H of ``references ~ W H`` with W and H not negative.

    Parameters
    ----------
    references
        Not negative; shape (references, pixels).
    components
        Their number, at most that of the references.

    Returns
    -------
    NDArray
        Shape (components, pixels).
    """
    amplitudes, basis = _start(references, min(components, len(references)))
    tiny = np.finfo(float).tiny
    total = float(np.sum(references**2))
    before = np.inf
    for iteration in range(ITERATIONS):
        basis *= (amplitudes.T @ references) / np.maximum((amplitudes.T @ amplitudes) @ basis, tiny)
        products = references @ basis.T
        gram = basis @ basis.T
        amplitudes *= products / np.maximum(amplitudes @ gram, tiny)
        if iteration % 10 == 9:
            inner = amplitudes.T @ amplitudes
            residual = total - 2 * float(np.sum(amplitudes * products)) + np.sum(inner * gram)
            if not residual < before * (1 - TOLERANCE):
                break
            before = float(residual)
    return basis


def _start(
    references: NDArray[np.float64], components: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start from singular vectors, of each the sign that carries more.

    After Boutsidis & Gallopoulos (2008, Pattern Recognition 41, 1350); zeros, which updates
    cannot leave, become a hundredth of the mean.
    """
    values, vectors = np.linalg.eigh(references @ references.T)
    vectors = vectors[:, ::-1][:, :components]
    values = np.maximum(values[::-1][:components], 0)
    rows = vectors.T @ references
    amplitudes, basis = np.empty_like(vectors), np.empty_like(rows)
    for k in range(components):
        sides = [
            (np.maximum(sign * vectors[:, k], 0), np.maximum(sign * rows[k], 0)) for sign in (1, -1)
        ]
        left, right = max(
            sides, key=lambda side: float(np.linalg.norm(side[0]) * np.linalg.norm(side[1]))
        )
        amplitudes[:, k], basis[k] = left, right
    floor = 0.01
    amplitudes = np.maximum(amplitudes, floor * max(float(amplitudes.mean()), 1e-300))
    return amplitudes, np.maximum(basis, floor * max(float(basis.mean()), 1e-300))
