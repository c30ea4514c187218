"""Levenberg-Marquardt fits of groups of sources to pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csst_imaging.galaxies.linear import factorise, invert, solve
from csst_imaging.galaxies.model import (
    MOST_PARAMETERS,
    add_source,
    draw_source,
    parameter_count,
)
from csst_imaging.galaxies.priors import add_priors, set_bounds
from csstcore.api import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WEIGHT_ROUNDS = 2
STEPS = 40
"""Of each round."""

CONVERGED = 1e-3
"""A fit ends where a step lowers chi squared by less: 0.03 standard deviations."""

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-9, 1e7
BOUND_ROUNDS = 4


@compiled
def evaluate(
    kinds: Integers,
    parameters: Floats,
    psf: Floats,
    windows: Integers,
    first: Integers,
    table: Floats,
    residual: Floats,
    root: Floats,
    slopes: Floats,
    place: Integers,
    sky_prior: Floats,
    gradient: Floats,
    normal: Floats,
) -> float:
    """Return chi squared of a group; write half its negative gradient and the normal matrix.

    Parameters
    ----------
    kinds
        Shape (sources,).
    parameters
        Shape (parameters of all sources and the sky,).
    psf
        Shape (sources, components, 6).
    windows
        Shape (sources, 4): first row, end row, first column, end column, in the group's box.
    first
        Number of the first parameter of each source, and that of the sky.
    table
        Of `sersic_table`.
    residual
        Pixels of the group's box without background and outsiders; not changed.
    root
        Root of the weight of each pixel; 0 where none of the group's windows is.
    slopes
        Space for the derivatives of all sources.
    place
        Where in `slopes` each source begins.
    sky_prior
        Standard deviation of the sky about zero, one element.
    gradient, normal
        Written.
    """
    number, sky = len(kinds), first[-1]
    left = root * (residual - parameters[sky])
    gradient[:], normal[:] = 0.0, 0.0
    for i in range(number):
        y0, y1, x0, x1 = windows[i]
        count, pixels = first[i + 1] - first[i], (y1 - y0) * (x1 - x0)
        mine = slopes[place[i] : place[i] + count * pixels].reshape(count, pixels)
        model = np.empty((y1 - y0, x1 - x0))
        weight = np.ascontiguousarray(root[y0:y1, x0:x1])
        own = parameters[first[i] : first[i + 1]]
        draw_source(kinds[i], own, table, psf[i], windows[i, ::2], weight, model, mine)
        left[y0:y1, x0:x1] -= weight * model
        normal[first[i] : first[i + 1], first[i] : first[i + 1]] = np.dot(mine, mine.T)
        with_sky = np.dot(mine, weight.ravel())
        normal[sky, first[i] : first[i + 1]] = with_sky
        normal[first[i] : first[i + 1], sky] = with_sky
    for i in range(number):
        y0, y1, x0, x1 = windows[i]
        count, pixels = first[i + 1] - first[i], (y1 - y0) * (x1 - x0)
        mine = slopes[place[i] : place[i] + count * pixels].reshape(count, pixels)
        gradient[first[i] : first[i + 1]] = np.dot(
            mine, np.ascontiguousarray(left[y0:y1, x0:x1]).ravel()
        )
        for j in range(i):
            _cross(i, j, windows, first, slopes, place, normal)
    chi2 = np.sum(left * left)
    gradient[sky] = np.sum(left * root)
    normal[sky, sky] = np.sum(root * root)
    for i in range(number):
        a, b = first[i], first[i + 1]
        chi2 += add_priors(kinds[i], parameters[a:b], gradient[a:b], normal[a:b, a:b])
    away = parameters[sky] / sky_prior[0]
    gradient[sky] -= away / sky_prior[0]
    normal[sky, sky] += 1.0 / sky_prior[0] ** 2
    total: float = chi2 + away * away
    return total


@compiled
def _cross(
    i: int,
    j: int,
    windows: Integers,
    first: Integers,
    slopes: Floats,
    place: Integers,
    normal: Floats,
) -> None:
    """Write the blocks of the normal matrix of two sources whose windows overlap."""
    y0, y1 = max(windows[i, 0], windows[j, 0]), min(windows[i, 1], windows[j, 1])
    x0, x1 = max(windows[i, 2], windows[j, 2]), min(windows[i, 3], windows[j, 3])
    if y0 >= y1 or x0 >= x1:
        return
    one = _cut(i, windows, first, slopes, place, y0, y1, x0, x1)
    other = _cut(j, windows, first, slopes, place, y0, y1, x0, x1)
    block = np.dot(one, other.T)
    normal[first[i] : first[i + 1], first[j] : first[j + 1]] = block
    normal[first[j] : first[j + 1], first[i] : first[i + 1]] = block.T


@compiled
def _cut(
    i: int,
    windows: Integers,
    first: Integers,
    slopes: Floats,
    place: Integers,
    y0: int,
    y1: int,
    x0: int,
    x1: int,
) -> Floats:
    """Return the derivatives of a source over a part of its window."""
    rows, columns = windows[i, 1] - windows[i, 0], windows[i, 3] - windows[i, 2]
    count = first[i + 1] - first[i]
    mine = slopes[place[i] : place[i] + count * rows * columns].reshape(count, rows, columns)
    part = mine[
        :,
        y0 - windows[i, 0] : y1 - windows[i, 0],
        x0 - windows[i, 2] : x1 - windows[i, 2],
    ]
    return np.ascontiguousarray(part).reshape(count, (y1 - y0) * (x1 - x0))


@compiled
def bounded_step(
    parameters: Floats,
    low: Floats,
    high: Floats,
    gradient: Floats,
    normal: Floats,
    damping: float,
    trial: Floats,
) -> bool:
    """Write the parameters after one damped step within bounds; False if there is none.

    A parameter that would leave its bounds is set to the bound, and the others are solved for
    again with it held there.
    """
    n = len(parameters)
    held = np.zeros(n, np.bool_)
    matrix, right = np.empty((n, n)), np.empty(n)
    factor, step = np.zeros((n, n)), np.zeros(n)
    trial[:] = parameters
    for _ in range(BOUND_ROUNDS):
        for i in range(n):
            right[i] = gradient[i]
            for j in range(n):
                matrix[i, j] = normal[i, j]
                if held[j] and not held[i]:
                    right[i] -= normal[i, j] * (trial[j] - parameters[j])
            matrix[i, i] += damping * normal[i, i]
        for i in range(n):
            if held[i]:
                matrix[i, :], matrix[:, i] = 0.0, 0.0
                matrix[i, i], right[i] = 1.0, trial[i] - parameters[i]
        if not factorise(matrix, factor):
            return False
        solve(factor, right, step)
        again = False
        for i in range(n):
            if held[i]:
                continue
            trial[i] = parameters[i] + step[i]
            if trial[i] < low[i] or trial[i] > high[i]:
                trial[i] = min(max(trial[i], low[i]), high[i])
                held[i] = again = True
        if not again:
            break
    return True


@compiled
def descend(
    kinds: Integers,
    vector: Floats,
    low: Floats,
    high: Floats,
    psf: Floats,
    windows: Integers,
    first: Integers,
    table: Floats,
    pixels: Floats,
    root: Floats,
    slopes: Floats,
    place: Integers,
    sky_prior: Floats,
    normal: Floats,
) -> int:
    """Lower chi squared by Levenberg-Marquardt steps; parameters as for `evaluate`.

    Returns
    -------
    int
        Number of evaluations, negative if it did not converge. `vector` is changed in place,
        `normal` is written.
    """
    n = len(vector)
    trial, gradient = np.empty(n), np.empty(n)
    new_gradient, new_normal = np.empty(n), np.empty((n, n))
    value, damping = np.inf, FIRST_DAMPING
    trial[:] = vector
    for number in range(1, STEPS + 1):
        new = evaluate(
            kinds, trial, psf, windows, first, table, pixels, root, slopes, place, sky_prior,
            new_gradient, new_normal,
        )  # fmt: skip
        gain = value - new
        if gain >= 0.0:
            vector[:], value = trial, new
            gradient[:], normal[:] = new_gradient, new_normal
            damping = max(0.1 * damping, LEAST_DAMPING) if number > 1 else damping
        else:
            damping *= 10.0
        if abs(gain) < CONVERGED:
            return number
        while not bounded_step(vector, low, high, gradient, normal, damping, trial):
            damping = max(10.0 * damping, FIRST_DAMPING)
            if not damping < MOST_DAMPING:
                return -number
    return -STEPS


@compiled
def fit_group(
    kinds: Integers,
    parameters: Floats,
    places: Floats,
    psf: Floats,
    windows: Integers,
    table: Floats,
    pixels: Floats,
    sky_variance: Floats,
    gain_variance: float,
    outside: Floats,
    sky_error: float,
) -> tuple[Floats, Floats, Integers]:
    """Fit the sources of a group together.

    The weights follow the model, not the noisy pixels: variance = sky's + gain times model; a
    second round takes the model of the first. (Weights from the pixels themselves would bias
    fluxes low.)

    Parameters
    ----------
    kinds
        Shape (sources,).
    parameters
        Shape (sources, `MOST_PARAMETERS`); the first guess, changed in place. Positions are in
        the group's box.
    places
        Shape (sources, 2): x and y of the catalogue, in the group's box.
    psf
        Shape (sources, components, 6).
    windows
        Shape (sources, 4), in the group's box.
    table
        Of `sersic_table`.
    pixels
        The group's box without background and outsiders.
    sky_variance
        Variance without the light of the sources; not positive where a pixel is left out.
    gain_variance
        Variance per unit of light.
    outside
        Light of the outsiders.
    sky_error
        Standard deviation of the sky about zero.

    Returns
    -------
    covariance
        Shape (sources, `MOST_PARAMETERS`, `MOST_PARAMETERS`); infinite if undetermined.
    chi2
        Shape (sources,), of the pixels of each source's window, without priors.
    count
        Shape (sources, 3): pixels used, parameters at a bound, evaluations of the model
        (negative if the fit did not converge).
    """
    number = len(kinds)
    first, place = np.zeros(number + 1, np.int64), np.zeros(number + 1, np.int64)
    inside = np.zeros(pixels.shape, np.bool_)
    for i in range(number):
        own = parameter_count(kinds[i])
        y0, y1, x0, x1 = windows[i]
        first[i + 1] = first[i] + own
        place[i + 1] = place[i] + own * (y1 - y0) * (x1 - x0)
        inside[y0:y1, x0:x1] = True
    n = first[-1] + 1
    vector, low, high = np.zeros(n), np.full(n, -np.inf), np.full(n, np.inf)
    for i in range(number):
        a, b = first[i], first[i + 1]
        set_bounds(kinds[i], places[i], windows[i], low[a:b], high[a:b])
        vector[a:b] = np.minimum(np.maximum(parameters[i, : b - a], low[a:b]), high[a:b])
    slopes, normal = np.empty(place[-1]), np.zeros((n, n))
    evaluations = 0
    light, root = np.empty(pixels.shape), np.empty(pixels.shape)
    for weighting in range(WEIGHT_ROUNDS + 1):
        light[:] = 0.0
        for i in range(number):
            y0, y1, x0, x1 = windows[i]
            own_light = np.zeros((y1 - y0, x1 - x0))
            own_vector = vector[first[i] : first[i + 1]]
            add_source(own_light, kinds[i], own_vector, table, psf[i], windows[i, ::2])
            light[y0:y1, x0:x1] += own_light
        if weighting == WEIGHT_ROUNDS:
            break
        _weights(sky_variance, gain_variance, light + outside, inside, root)
        steps = descend(
            kinds, vector, low, high, psf, windows, first, table, pixels, root, slopes, place,
            np.array([sky_error]), normal,
        )  # fmt: skip
        evaluations = abs(evaluations) + abs(steps) if steps > 0 else steps - abs(evaluations)
    inverse = invert(normal)
    left = root * (pixels - vector[n - 1] - light)
    covariance = np.zeros((number, MOST_PARAMETERS, MOST_PARAMETERS))
    chi2, count = np.zeros(number), np.zeros((number, 3), np.int64)
    for i in range(number):
        a, b = first[i], first[i + 1]
        y0, y1, x0, x1 = windows[i]
        parameters[i, : b - a] = vector[a:b]
        covariance[i, : b - a, : b - a] = inverse[a:b, a:b]
        chi2[i] = np.sum(left[y0:y1, x0:x1] ** 2)
        count[i, 0] = np.sum(root[y0:y1, x0:x1] > 0.0)
        count[i, 1] = np.sum((vector[a:b] <= low[a:b]) | (vector[a:b] >= high[a:b]))
        count[i, 2] = evaluations
    return covariance, chi2, count


@compiled
def _weights(
    sky_variance: Floats,
    gain_variance: float,
    light: Floats,
    inside: NDArray[np.bool_],
    root: Floats,
) -> None:
    """Write the root of the weight of each pixel."""
    for y in range(light.shape[0]):
        for x in range(light.shape[1]):
            root[y, x] = 0.0
            if inside[y, x] and sky_variance[y, x] > 0.0:
                variance = sky_variance[y, x] + gain_variance * max(light[y, x], 0.0)
                root[y, x] = 1.0 / math.sqrt(variance)
