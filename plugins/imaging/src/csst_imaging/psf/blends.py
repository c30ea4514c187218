"""Errors of fits to sources that overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from csst_imaging.psf.point_fit import FLUX, FLUX_ERROR, X_ERROR, Y_ERROR, X, Y, render_with_slopes
from csst_imaging.psf.render import blend
from csstcore.api import compiled

Floats = NDArray[np.float64]
Stamps = NDArray[np.float32]

MOST_NEIGHBOURS = 4
OWN = (FLUX_ERROR, X_ERROR, Y_ERROR)


def close_neighbours(x: Floats, y: Floats, reach: float) -> NDArray[np.int64]:
    """Return the nearest sources of each within a distance, -1 where there are no more.

    Parameters
    ----------
    x, y
        Positions, finite.
    reach
        Largest distance.
    """
    places = np.stack([x, y], axis=-1)
    wanted = np.arange(2, MOST_NEIGHBOURS + 2)
    _, found = cKDTree(places).query(places, k=wanted, distance_upper_bound=reach)
    return np.where(found < len(x), found, -1).astype(np.int64)


@compiled
def widen_errors(
    near: NDArray[np.int64],
    result: NDArray[np.float64],
    terms: Stamps,
    sky: Floats,
    planes: Stamps,
    step: float,
    photons: float,
    model_error: float,
    half: int,
) -> None:
    """Replace the errors of sources with neighbours by those of a joint fit, in place.

    The errors are from the inverse of the information on fluxes and positions of a source and
    its neighbours together, in the source's stamp.

    Parameters
    ----------
    near
        Neighbours, see `close_neighbours`.
    result
        Fits, see `point_fit`; those of neighbours that are NaN do not count.
    terms, sky
        Terms of the PSF's polynomial at the sources, and variance of the sky.
    planes, step, photons, model_error, half
        As of `photometry.Model`.
    """
    size = 2 * half + 1
    slopes = np.empty((3 * (1 + near.shape[1]), size, size), np.float32)
    work = np.empty((3, size, size), np.float32)
    local = np.empty(planes.shape[1:], np.float32)
    for i in range(len(near)):
        if np.isnan(result[i, FLUX]) or near[i, 0] < 0:
            continue
        left = np.floor(result[i, X] + 0.5) - half
        top = np.floor(result[i, Y] + 0.5) - half
        variance = np.full((size, size), np.float32(sky[i]))
        count = 0
        for k in range(-1, near.shape[1]):
            member = i if k < 0 else near[i, k]
            if member < 0 or np.isnan(result[member, FLUX]):
                continue
            blend(planes, terms[member], 0, planes.shape[1], local)
            render_with_slopes(
                local, step, left - result[member, X], top - result[member, Y], size, work
            )
            flux = np.float32(result[member, FLUX])
            for a in range(size):
                for b in range(size):
                    light = flux * max(work[0, a, b], np.float32(0))
                    variance[a, b] += np.float32(photons) * light
                    variance[a, b] += (np.float32(model_error) * light) ** 2
                    slopes[count, a, b] = work[0, a, b]
                    slopes[count + 1, a, b] = flux * work[1, a, b]
                    slopes[count + 2, a, b] = flux * work[2, a, b]
            count += 3
        information = np.empty((count, count))
        for j in range(count):
            for k in range(j, count):
                information[j, k] = np.sum(slopes[j] * slopes[k] / variance)
                information[k, j] = information[j, k]
        scale = np.sqrt(np.diag(information))
        if not np.all(scale > 0):
            continue
        for j in range(count):
            for k in range(count):
                information[j, k] /= scale[j] * scale[k]
            information[j, j] += 1e-9
        inverse = np.linalg.inv(information)
        for j in range(3):
            error = np.sqrt(inverse[j, j]) / scale[j]
            if error > result[i, OWN[j]]:
                result[i, OWN[j]] = error
