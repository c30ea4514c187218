"""What a network is shown, and what it should say: pixels of simulated fields.

Pixels with more than `HIT_ELECTRON` are hit, those with less than `TRACE_ELECTRON` are empty. A
pixel between is neither: to flag it is no error, and not to flag it none either. So the network
learns the ratio of the chances of hit and empty, and a threshold on it finds the most hits at a
given share of empty pixels among the flagged ones (Neyman & Pearson 1933).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csst_calib.cosmic_rays.candidates import find_candidates, gather
from csst_calib.cosmic_rays.normalise import measure_background, scale
from csst_calib.training.domain import Domain
from csst_calib.training.fields import Field, draw_settings, make_field

HIT_ELECTRON = 3.0
TRACE_ELECTRON = 0.1
FIELD_PIXEL = 400
ROUNDS = 10
"""How often a field is used, turned and mirrored, before a new one takes its place."""
MOST_PIXELS = 8000
"""Of one field in a round; where there are more, those taken weigh more."""
CROP_PIXEL = 160

Arrays = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A field as a network sees it; planes of shape (rows, columns)."""

    scaled: NDArray[np.float32]
    noise_electron: NDArray[np.float32]
    label: NDArray[np.float32]
    counts: NDArray[np.bool_]
    """Where the label says something."""
    rows: NDArray[np.intp]
    """Candidates that count."""
    columns: NDArray[np.intp]


def sample(field: Field) -> Sample:
    """Scale a field, label it and find its candidates."""
    window = slice(0, len(field.electron))
    level, noise = measure_background(field.electron).at(window, window)
    electron = np.where(np.isfinite(field.electron), field.electron, level)
    trace = (field.deposit > TRACE_ELECTRON) & (field.deposit <= HIT_ELECTRON)
    counts = ~(trace | field.unjudged)
    return Sample(
        scale(electron, level, noise),
        noise,
        (field.deposit > HIT_ELECTRON).astype(np.float32),
        counts,
        *np.nonzero(find_candidates(electron, level, noise) & counts),
    )


class Pool:
    """So many fields of a domain, renewed little by little."""

    def __init__(self, domain: Domain, fields: int, rng: np.random.Generator) -> None:
        self._domain = domain
        self._rng = rng
        self.samples = [self._make() for _ in range(fields)]

    def renew(self) -> None:
        """Replace the oldest fields."""
        number = max(1, len(self.samples) // ROUNDS)
        self.samples = [*self.samples[number:], *(self._make() for _ in range(number))]

    def _make(self) -> Sample:
        settings = draw_settings(self._domain, self._rng)
        return sample(make_field(settings, FIELD_PIXEL, self._rng))


def patches(pool: Pool, side: int, batch: int, rng: np.random.Generator) -> Iterator[Arrays]:
    """Yield batches of patches, noise, labels and weights without end."""
    while True:
        pool.renew()
        parts = [_patches_of(one, side, MOST_PIXELS, rng) for one in pool.samples]
        joined = [np.concatenate(values) for values in zip(*parts, strict=True)]
        order = rng.permutation(len(joined[0]))
        for start in range(0, len(order) - batch + 1, batch):
            patch, *rest = (values[order[start : start + batch]] for values in joined)
            yield (_turned(patch, rng), *rest)


def inputs(domain: Domain, side: int, fields: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield what a patch network takes, by name, for each of some fields."""
    rng = np.random.default_rng(seed)
    for one in Pool(domain, fields, rng).samples:
        patch, noise, *_ = _patches_of(one, side, MOST_PIXELS // 4, rng)
        yield {"patch": patch, "noise_electron": noise}


def crops(pool: Pool, batch: int, rng: np.random.Generator) -> Iterator[Arrays]:
    """Yield batches of scaled crops, labels and weights, (batch, 1, side, side), without end."""
    while True:
        pool.renew()
        fields = len(pool.samples)
        for _ in range(fields * (FIELD_PIXEL // CROP_PIXEL) ** 2 // batch):
            chosen = [pool.samples[index] for index in rng.integers(fields, size=batch)]
            planes = []
            for one in chosen:
                row, column = rng.integers(0, FIELD_PIXEL - CROP_PIXEL + 1, 2)
                part = np.s_[row : row + CROP_PIXEL, column : column + CROP_PIXEL]
                weight = one.counts[part].astype(np.float32)
                planes.append(np.stack([one.scaled[part], one.label[part], weight]))
            turned = _turned(np.stack(planes), rng)
            yield tuple(np.ascontiguousarray(turned[:, [index]]) for index in range(3))


def _patches_of(one: Sample, side: int, most: int, rng: np.random.Generator) -> Arrays:
    number = len(one.rows)
    taken = min(number, most)
    index = rng.choice(number, taken, replace=False)
    rows, columns = one.rows[index], one.columns[index]
    return (
        gather(one.scaled, rows, columns, side),
        one.noise_electron[rows, columns][:, None],
        one.label[rows, columns],
        np.full(taken, number / max(taken, 1), np.float32),
    )


def _turned(planes: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turn and mirror the last two axes at random, all alike."""
    turned = np.rot90(planes, int(rng.integers(4)), axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if rng.integers(2) else turned)
