"""Pixels hit in one frame: seeds, their neighbours, and tails in the direction of reading."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_cpic.register.tail_table import TailTable, exceeded
from csstcore.api import compiled

_LOW, _SEED, _HIT = 1, 2, 3


@compiled
def _grow(state: NDArray[np.uint8]) -> None:
    """Turn seeds, and what is low and 8-connected to them, into hits."""
    rows, columns = state.shape
    places = np.empty(np.count_nonzero(state), np.int64)
    for start in range(state.size):
        if state[start // columns, start % columns] != _SEED:
            continue
        state[start // columns, start % columns] = _HIT
        places[0] = start
        waiting = 1
        while waiting > 0:
            waiting -= 1
            row, column = places[waiting] // columns, places[waiting] % columns
            for y in range(max(row - 1, 0), min(row + 2, rows)):
                for x in range(max(column - 1, 0), min(column + 2, columns)):
                    if state[y, x] == _LOW or state[y, x] == _SEED:
                        state[y, x] = _HIT
                        places[waiting] = y * columns + x
                        waiting += 1


@compiled
def _follow(
    state: NDArray[np.uint8],
    data: NDArray[np.float32],
    rate: NDArray[np.float32],
    table: TailTable,
    least_charge: float,
) -> None:
    """Follow tails of bright hits to higher columns while pixels stay above the table's tail."""
    rows, columns = state.shape
    for y in range(rows):
        charge = 0.0
        for x in range(columns - 1):
            if state[y, x] != _HIT:
                charge = 0.0
                continue
            if np.isfinite(data[y, x]):
                charge += data[y, x] - rate[y, x]
            if charge < least_charge or state[y, x + 1] == _HIT:
                continue
            above = 0
            for ahead in range(x + 1, min(x + 4, columns)):
                if data[y, ahead] > exceeded(table, rate[y, ahead]):
                    above += 1 if ahead > x + 1 else 2
            if above >= 2:
                state[y, x + 1] = _HIT


@compiled
def find_hits(
    data: NDArray[np.float32],
    rate: NDArray[np.float32],
    high: NDArray[np.float32],
    low: NDArray[np.float32],
    table: TailTable,
    least_charge: float,
    state: NDArray[np.uint8],
) -> None:
    """Write 1 where a frame was hit, else 0.

    Parameters
    ----------
    data
        The frame in electron; NaN is no hit.
    rate
        Of the pixels, electron.
    high, low
        Signals above which a pixel is a seed, and belongs to one beside it.
    table
        Tail that the pixels of a register's tail exceed.
    least_charge
        Charge in a row, electron, that may have a tail.
    state
        The result.
    """
    rows, columns = data.shape
    for y in range(rows):
        for x in range(columns):
            value = data[y, x]
            mark = _LOW if value > low[y, x] else 0
            state[y, x] = _SEED if value > high[y, x] else mark
    _grow(state)
    _follow(state, data, rate, table, least_charge)
    for y in range(rows):
        for x in range(columns):
            state[y, x] = 1 if state[y, x] == _HIT else 0
