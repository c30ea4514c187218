"""Karhunen-Loeve modes of reference frames, expressed in the frames themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

SMALLEST_EIGENVALUE: Final = 1e-12
"""Modes below this part of the largest eigenvalue are rounding errors."""
_BLOCK_VALUES: Final = 2_000_000
"""Values of a stack of matrices that are decomposed together: 16 MB."""


def klip_weights(
    frames: NDArray[np.float64],
    references: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    components: int,
) -> NDArray[np.float64]:
    """Return the weights with which reference frames add up to the model of each frame.

    The model is the projection of a frame on the leading Karhunen-Loeve modes of its reference
    frames (Soummer, Pueyo & Larkin 2012, ApJ 755, L28). A mode is a sum of reference frames with
    an eigenvector v of their Gram matrix G as weights, so with the products b of the frame with
    its references the weights of the model are ``sum_k v_k (v_k . b) / lambda_k``: nothing
    larger than G is decomposed, and the model of all frames is one product of matrices.

    Parameters
    ----------
    frames
        Shape (frames, pixels), zero mean.
    references
        Shape (references, pixels), zero mean.
    allowed
        Which references may model which frame; shape (frames, references).
    components
        Number of modes; fewer where the references give no more.

    Returns
    -------
    NDArray
        Shape (frames, references); zero where not allowed.
    """
    gram = references @ references.T
    products = np.where(allowed, frames @ references.T, 0.0)
    weights = np.empty_like(products)
    for members, chosen in _same_references(allowed):
        matrices = gram * chosen[:, :, np.newaxis] * chosen[:, np.newaxis, :]
        values, vectors = np.linalg.eigh(matrices)
        values, vectors = values[:, -components:], vectors[:, :, -components:]
        real = values > SMALLEST_EIGENVALUE * values[:, -1:]
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=real)
        for place, frame_numbers in enumerate(members):
            amplitudes = products[frame_numbers] @ vectors[place] * inverse[place]
            weights[frame_numbers] = amplitudes @ vectors[place].T
    return weights


def _same_references(
    allowed: NDArray[np.bool_],
) -> Iterator[tuple[list[NDArray[np.intp]], NDArray[np.bool_]]]:
    """Yield blocks of distinct sets of references, with the frames that each set models."""
    sets, which = np.unique(allowed, axis=0, return_inverse=True)
    which = which.ravel()
    step = max(_BLOCK_VALUES // max(allowed.shape[1], 1) ** 2, 1)
    for start in range(0, len(sets), step):
        block = sets[start : start + step]
        yield [np.flatnonzero(which == start + k) for k in range(len(block))], block
