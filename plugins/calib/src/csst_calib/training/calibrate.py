"""The threshold, and what it gives on fields the network has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_calib.cosmic_rays.network import Network
from csst_calib.cosmic_rays.normalise import measure_background
from csst_calib.training.domain import Domain
from csst_calib.training.fields import draw_settings, make_field
from csst_calib.training.samples import FIELD_PIXEL, HIT_ELECTRON, TRACE_ELECTRON

FIELDS = 200
PURITY = 0.99
"""Share of flagged pixels that particles left charge in, at the threshold, unless told."""
LEAST_PROBABILITY = 0.02

Values = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold on the probability, with its figures on held-out fields."""

    threshold: float
    recall: float
    """Share of pixels above 3 e- that are flagged."""
    recall_three_sigma: float
    """Share of pixels above three times the local noise that are flagged."""
    purity: float
    """Share of flagged pixels with a deposit above 0.1 e-."""
    purity_hit: float
    """Share of flagged pixels with a deposit above 3 e-."""


def calibrate(
    network: Network, domain: Domain, *, seed: int, fields: int = FIELDS, purity: float = PURITY
) -> Calibration:
    """Choose the lowest threshold that keeps a purity on held-out fields.

    Parameters
    ----------
    network
        A trained network, opened as the stage opens it.
    domain
        What is simulated.
    seed
        Seed of the fields; must differ from that of the training.
    fields
        Number of fields.
    purity
        Share of flagged pixels that particles left charge in.

    Returns
    -------
    Calibration
        Threshold and figures.
    """
    judged = _judged(network, domain, np.random.default_rng(seed), fields)
    probability, deposit, sigma = map(np.concatenate, zip(*judged, strict=True))
    return choose(probability, deposit, sigma, purity)


def choose(
    probability: NDArray[np.float32],
    deposit: NDArray[np.float32],
    sigma: NDArray[np.float32],
    least: float = PURITY,
) -> Calibration:
    """Choose the lowest threshold at which a share `least` of the flagged pixels are hit."""
    order = np.argsort(-probability)[: int(np.sum(probability > LEAST_PROBABILITY))]
    purity = np.cumsum(deposit[order] > TRACE_ELECTRON) / np.arange(1, len(order) + 1)
    last = int(np.flatnonzero(purity >= least)[-1])
    threshold = float(probability[order[last]])
    flagged = probability >= threshold
    return Calibration(
        threshold=threshold,
        recall=float(flagged[deposit > HIT_ELECTRON].mean()),
        recall_three_sigma=float(flagged[deposit > 3 * sigma].mean()),
        purity=float((deposit[flagged] > TRACE_ELECTRON).mean()),
        purity_hit=float((deposit[flagged] > HIT_ELECTRON).mean()),
    )


def _judged(
    network: Network, domain: Domain, rng: np.random.Generator, fields: int
) -> Iterator[Values]:
    """Yield probability, deposit and noise of the judged pixels of each field."""
    window = slice(0, FIELD_PIXEL)
    for _ in range(fields):
        field = make_field(draw_settings(domain, rng), FIELD_PIXEL, rng)
        level, noise = measure_background(field.electron).at(window, window)
        blind = ~np.isfinite(field.electron)
        probability = network.probability(field.electron, level, noise, blind)
        judged = ~field.unjudged
        yield probability[judged], field.deposit[judged], field.sigma[judged]
