"""`TailTable`: the signal that a pixel exceeds by chance, by its rate, for compiled loops."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from csst_cpic.register.register_output import RegisterOutput
from csstcore.api import compiled

LOWEST, HIGHEST, NODES = 1e-4, 1e6, 240
"""Rates in electron per frame between which a table reaches, evenly in the logarithm."""

LOWEST_LOG = float(np.log(LOWEST))
NODES_PER_LOG = (NODES - 1) / float(np.log(HIGHEST) - np.log(LOWEST))


class TailTable(NamedTuple):
    """How many standard deviations a pixel of a rate exceeds by chance."""

    deviations: NDArray[np.float64]
    """At the nodes."""
    excess_noise: float
    """Variance over rate."""
    noise_variance: float
    """Of reading, electron^2, input-referred."""


@lru_cache(maxsize=32)
def tail_table(output: RegisterOutput, probability: float) -> TailTable:
    """Return the table of a register for one probability."""
    rate = np.geomspace(LOWEST, HIGHEST, NODES)
    excess_noise, noise_variance = 1 + output.spread, output.noise_electron**2
    sigma = np.sqrt(excess_noise * rate + noise_variance)
    deviations = (output.exceeded_signal(probability, rate) - rate) / sigma
    return TailTable(deviations, excess_noise, noise_variance)


@compiled
def exceeded(table: TailTable, rate: float) -> float:
    """Return the signal that a pixel of a rate exceeds with the table's probability."""
    inside = min(max(rate, LOWEST), HIGHEST)
    place = (np.log(inside) - LOWEST_LOG) * NODES_PER_LOG
    node = min(int(place), NODES - 2)
    part = place - node
    deviations = (1.0 - part) * table.deviations[node] + part * table.deviations[node + 1]
    return float(inside + deviations * np.sqrt(table.excess_noise * inside + table.noise_variance))
