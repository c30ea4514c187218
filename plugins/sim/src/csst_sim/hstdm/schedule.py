"""What the telescope looks at, dump by dump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_sim.hstdm.plan import Observation

_LOADS = ("HOT", "COLD")


@dataclass(frozen=True, eq=False)
class Schedule:
    """The dumps of one observation, in order of time."""

    seconds: NDArray[np.float64]
    """Middle of each dump after the start."""
    state: NDArray[np.str_]
    scan: NDArray[np.int32]
    subscan: NDArray[np.int32]
    offset_arcsec: NDArray[np.float64]
    """From the target on the sky, east and north; shape (dumps, 2)."""


@dataclass(frozen=True, eq=False)
class _Block:
    state: str
    offset: NDArray[np.float64]
    """Shape (dumps, 2)."""
    gap: bool = True


def schedule(observation: Observation) -> Schedule:
    """Return the dumps of an observation.

    A target is seen OFF ON ON OFF and so on; a map row by row, to and fro, with SKIP dumps
    where the telescope turns about and an OFF before every `rows_per_off` rows. Loads come
    first, whenever their interval is over, and last.
    """
    seconds: list[float] = []
    blocks: list[_Block] = []
    clock, last_load = 0.0, -np.inf

    def run(block: _Block) -> None:
        nonlocal clock
        clock += observation.gap_s * block.gap
        blocks.append(block)
        for _ in block.offset:
            seconds.append(clock + observation.dump_s / 2)
            clock += observation.dump_s

    def loads() -> None:
        nonlocal last_load
        for name in _LOADS:
            run(_Block(name, np.zeros((observation.load_dumps, 2))))
        last_load = clock

    for group in _groups(observation):
        due = clock - last_load >= observation.load_interval_s
        if due and observation.file_type != "CALI":
            loads()
        for block in group:
            run(block)
    loads()
    number = [len(block.offset) for block in blocks]
    state = np.repeat([block.state for block in blocks], number)
    order = np.repeat(np.arange(1, len(blocks) + 1), number)
    starts = np.cumsum([0, *number[:-1]])
    return Schedule(
        np.array(seconds),
        state,
        order.astype(np.int32),
        (np.arange(len(seconds)) - np.repeat(starts, number) + 1).astype(np.int32),
        np.concatenate([block.offset for block in blocks]),
    )


def _groups(observation: Observation) -> Iterator[list[_Block]]:
    """Yield the blocks between which loads may come."""
    off = np.tile(
        [observation.off_ra_arcsec, observation.off_dec_arcsec], (observation.off_dumps, 1)
    )
    if observation.file_type == "CALI":
        for _ in range(observation.cycles - 1):
            yield [_Block(name, np.zeros((observation.load_dumps, 2))) for name in _LOADS]
    elif observation.file_type == "TARG":
        on = _Block("ON", np.zeros((observation.on_dumps, 2)))
        for cycle in range(observation.cycles):
            pair = [_Block("OFF", off), on]
            yield pair[:: 1 if cycle % 2 == 0 else -1]
    else:
        for first in range(0, observation.rows, observation.rows_per_off):
            last = min(first + observation.rows_per_off, observation.rows)
            yield [_Block("OFF", off), *_rows(observation, range(first, last))]
        yield [_Block("OFF", off)]


def _rows(observation: Observation, numbers: range) -> Iterator[_Block]:
    steps = np.arange(observation.on_dumps) - (observation.on_dumps - 1) / 2
    turn = observation.turnaround_dumps
    for number in numbers:
        along = steps * observation.dump_spacing_arcsec * (1 if number % 2 == 0 else -1)
        across = (number - (observation.rows - 1) / 2) * observation.row_spacing_arcsec
        start = number == numbers[0]
        yield _Block("ON", np.stack([along, np.full_like(along, across)], axis=-1), gap=start)
        if number != numbers[-1]:
            part = (np.arange(turn) + 0.5) / max(turn, 1)
            path = across + part * observation.row_spacing_arcsec
            yield _Block("SKIP", np.stack([np.full(turn, along[-1]), path], axis=-1), gap=False)
