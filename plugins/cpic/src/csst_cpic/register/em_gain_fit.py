"""EM gain from the histogram of faint frames, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from csst_cpic.register.em_statistics import Array
from csst_cpic.register.register_output import RegisterOutput
from csstcore.api import UnprocessableData

Probabilities: TypeAlias = Callable[[Array], Array]

BINS = 48
REACH = 8.0
"""End of the last bin, in gains above the threshold; what is beyond (hits) plays no part."""

STEPS = 40
CONVERGED = 1e-4
"""Square of the last step in units of the errors."""

SMALL = 1e-4
"""Step of numerical derivatives."""

BRIGHTEST = 30.0
"""Guessed electrons per frame at which a histogram tells nothing of single ones."""

LEAST_DETECTED = 200
"""Pixels above the threshold that a fit needs."""


class EmGainFit(NamedTuple):
    """EM gain, rate and serial charge with errors, and how well they describe the histogram."""

    em_gain: float
    em_gain_error: float
    rate_electron: float
    """Electrons per pixel and frame that enter the register."""
    rate_error: float
    serial_rate: float
    """Electrons per pixel and frame that arise within the register."""
    serial_error: float
    chi_square: float
    degrees_of_freedom: int


def fit_em_gain(
    frames: Sequence[NDArray[np.float32]],
    read_noise_electron: float,
    stages: int,
    *,
    threshold_noises: float = 5.0,
    relative_rate: Sequence[float] = (1.0,),
) -> EmGainFit:
    """Return the EM gain that makes the histogram of faint frames most likely.

    Parameters
    ----------
    frames
        Darks or faint flats of one gain, below an electron per pixel, in output electrons (adu
        times amplifier gain) without bias, cosmic rays and hot pixels (NaN).
    read_noise_electron
        Gaussian, at the output.
    stages
        Of the register.
    threshold_noises
        All pixels below so many read noises count as one bin: their distribution, which
        is that of the noise, plays no part.
    relative_rate
        Rates of groups of pixels, equal in number, over their mean: of uneven light.

    Returns
    -------
    EmGainFit
        Errors by the Fisher information.

    Raises
    ------
    UnprocessableData
        If less than 200 pixels are above the threshold, or the fit does not converge.

    Notes
    -----
    The slope of the tail alone is 1.5 to 15 % too high for rates of 0.02 to 0.3, by pixels with
    two electrons. Here bins get the exact probabilities of compound Poisson, serial charge and
    read noise, given that pixels are below the end of the last bin; the three parameters are
    found by Fisher scoring of the multinomial.
    """
    threshold = threshold_noises * read_noise_electron
    edges, counts = _histogram(frames, threshold)
    relative = np.asarray(relative_rate, float) / np.mean(relative_rate)

    def probabilities(parameters: Array) -> Array:
        gain, rate, serial = np.exp(parameters[0]), np.exp(parameters[1]), parameters[2]
        output = RegisterOutput.of_stages(float(gain), read_noise_electron, stages, float(serial))
        tails = sum(output.tail(edges / gain, float(rate * one)) for one in relative)
        tails = np.concatenate(([1.0], tails / relative.size))
        return np.asarray(np.maximum(-np.diff(tails) / (1 - tails[-1]), 1e-14))

    parameters = _start(edges, counts)
    expected = probabilities(parameters)
    for _ in range(STEPS):
        slopes = _slopes(probabilities, parameters)
        information = counts.sum() * (slopes / expected) @ slopes.T
        step = np.linalg.lstsq(information, (slopes / expected) @ counts)[0]
        parameters, expected = _climb(probabilities, parameters, step, counts, expected)
        if step @ information @ step < CONVERGED:
            return _result(parameters, np.linalg.pinv(information), counts, expected)
    raise UnprocessableData(
        f"the fit of the EM gain does not converge; it ended at {np.exp(parameters[0]):g}"
    )


def _histogram(frames: Sequence[NDArray[np.float32]], threshold: float) -> tuple[Array, Array]:
    """Return edges from the threshold on, and counts below it and between them."""
    above = np.concatenate([frame[frame > threshold].astype(np.float64) for frame in frames])
    below = sum(int(np.count_nonzero(frame <= threshold)) for frame in frames)
    if above.size < LEAST_DETECTED:
        raise UnprocessableData(
            f"{above.size} pixels are above {threshold:g} output electrons; "
            f"the fit of an EM gain needs {LEAST_DETECTED}"
        )
    scale = (float(np.median(above)) - threshold) / np.log(2)
    edges = threshold + scale * np.linspace(0, REACH, BINS)
    return edges, np.concatenate(([below], np.histogram(above, edges)[0])).astype(np.float64)


def _start(edges: Array, counts: Array) -> Array:
    """Return a guess of log gain, log rate and serial rate: single electrons only."""
    gain = (edges[-1] - edges[0]) / REACH
    detected = 1 - counts[0] / counts.sum()
    log_rate = np.log(-np.log1p(-detected)) + edges[0] / gain
    if gain <= 1 or not log_rate < np.log(BRIGHTEST):
        raise UnprocessableData(
            f"signals above {edges[0]:g} output electrons fall by e in {gain:.3g}: more light than "
            f"{BRIGHTEST:g} electrons, or more noise than was said"
        )
    return np.array([np.log(gain), log_rate, 0.0])


def _slopes(probabilities: Probabilities, parameters: Array) -> Array:
    """Return the derivatives of the bins' probabilities, shape (parameters, bins)."""
    rows = []
    for k in range(parameters.size):
        step = np.zeros(parameters.size)
        step[k] = SMALL
        ends = probabilities(parameters + step) - probabilities(parameters - step)
        rows.append(ends / (2 * SMALL))
    return np.array(rows)


def _climb(
    probabilities: Probabilities, parameters: Array, step: Array, counts: Array, expected: Array
) -> tuple[Array, Array]:
    """Return the parameters after as much of a step as makes the counts more likely."""
    step = step / max(1.0, float(np.abs(step).max()) / 0.5)
    now = counts @ np.log(expected)
    for _ in range(8):
        there = probabilities(parameters + step)
        if counts @ np.log(there) >= now:
            return parameters + step, there
        step = step / 4
    return parameters, expected


def _result(parameters: Array, covariance: Array, counts: Array, expected: Array) -> EmGainFit:
    gain, rate = np.exp(parameters[:2])
    error = np.sqrt(np.diag(covariance))
    wanted = expected * counts.sum()
    filled = wanted > 5
    chi_square = float(np.sum((counts - wanted)[filled] ** 2 / wanted[filled]))
    return EmGainFit(
        em_gain=float(gain),
        em_gain_error=float(gain * error[0]),
        rate_electron=float(rate),
        rate_error=float(rate * error[1]),
        serial_rate=float(parameters[2]),
        serial_error=float(error[2]),
        chi_square=chi_square,
        degrees_of_freedom=int(np.count_nonzero(filled)) - 1 - parameters.size,
    )
