"""Karhunen-Loeve modes of reference frames, expressed in the frames themselves."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from csst_cpic.star.leading_eigenvectors import leading_eigenvectors

SMALLEST_EIGENVALUE: Final = 1e-12
"""Modes below this part of the largest eigenvalue are rounding errors."""


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
        Shape (pixels, frames), each of zero mean.
    references
        Shape (pixels, references), each of zero mean.
    allowed
        Which references may model which frame; shape (frames, references).
    components
        Number of modes; fewer where the references give no more.

    Returns
    -------
    NDArray
        Shape (frames, references); zero where not allowed.
    """
    gram = references.T @ references
    products = frames.T @ references
    weights = np.zeros_like(products)
    sets, which = np.unique(allowed, axis=0, return_inverse=True)
    for number, chosen in enumerate(sets):
        members = np.flatnonzero(chosen)
        if not len(members):
            continue
        places = np.ix_(np.flatnonzero(which.ravel() == number), members)
        matrix = gram[np.ix_(members, members)]
        weights[places] = _projected(matrix, products[places], components)
    return weights


def _projected(
    gram: NDArray[np.float64], products: NDArray[np.float64], components: int
) -> NDArray[np.float64]:
    """Return the weights for frames that share all references; shape of `products`."""
    values, vectors = leading_eigenvectors(gram, components)
    real = values > SMALLEST_EIGENVALUE * max(values[-1], 0.0)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=real)
    return np.asarray(products @ vectors * inverse @ vectors.T)


def most_correlated(
    frames: NDArray[np.float64],
    references: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    number: int,
) -> NDArray[np.bool_]:
    """Return those of the allowed references that have the largest correlation with each frame.

    Parameters
    ----------
    frames, references
        Shapes (pixels, frames) and (pixels, references), each of zero mean.
    allowed
        Shape (frames, references).
    number
        How many references a frame keeps, if it has as many.
    """
    length = np.sqrt(np.einsum("pr,pr->r", references, references))
    similar = frames.T @ references / np.maximum(length, np.finfo(float).tiny)
    order = np.argsort(np.where(allowed, -similar, np.inf), axis=1, kind="stable")
    best = np.zeros_like(allowed)
    np.put_along_axis(best, order[:, :number], True, axis=1)
    return best & allowed
