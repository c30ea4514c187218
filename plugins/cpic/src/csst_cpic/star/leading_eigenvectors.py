"""Eigenvectors of the largest eigenvalues of a symmetric matrix, side by side in threads."""

from __future__ import annotations

from ctypes import CFUNCTYPE, byref, c_char, c_double, c_int, c_void_p

import numpy as np
from numba.extending import get_cython_function_address
from numpy.typing import NDArray

from csstcore.api import UnprocessableData

# `scipy.linalg.eigh` keeps the interpreter's lock, so that threads wait for each other; the
# routine of LAPACK that it calls, called from here, does not.
_DSYEVR = CFUNCTYPE(None, *[c_void_p] * 21)(
    get_cython_function_address("scipy.linalg.cython_lapack", "dsyevr")
)
_WORK = 34
"""Numbers of work space a row: 26 are the least, the rest are for blocks of columns."""


def leading_eigenvectors(
    matrix: NDArray[np.float64], number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues, ascending, and their eigenvectors.

    Parameters
    ----------
    matrix
        Symmetric, contiguous, shape (n, n); overwritten.
    number
        How many; all, if there are fewer.

    Returns
    -------
    values, vectors
        Shapes (number,) and (n, number).

    Raises
    ------
    UnprocessableData
        If the decomposition does not converge, as for values that are not finite.
    """
    count = len(matrix)
    number = min(number, count)
    values, vectors = np.empty(count), np.empty((number, count))
    work, places = np.empty(_WORK * count), np.empty(10 * count, np.int32)
    support = np.empty(2 * number, np.int32)
    size, first, found, status = c_int(count), c_int(count - number + 1), c_int(), c_int()
    bound = c_double(0.0)
    _DSYEVR(
        *(byref(c_char(letter)) for letter in (b"V", b"I", b"L")),
        byref(size),
        matrix.ctypes.data,
        byref(size),
        *(byref(bound), byref(bound)),
        *(byref(first), byref(size)),
        byref(bound),
        byref(found),
        values.ctypes.data,
        vectors.ctypes.data,
        byref(size),
        support.ctypes.data,
        *(work.ctypes.data, byref(c_int(len(work)))),
        *(places.ctypes.data, byref(c_int(len(places)))),
        byref(status),
    )
    if status.value or found.value != number:
        raise UnprocessableData(f"no eigenvectors of a matrix of {count} frames are found")
    return values[:number], vectors.T
