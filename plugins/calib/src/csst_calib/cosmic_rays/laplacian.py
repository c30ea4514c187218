"""Cosmic rays by L.A.Cosmic, window by window."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy import log
from lacosmic import remove_cosmics
from numpy.typing import NDArray

from csst_calib.cosmic_rays.windows import Part, Unjudged, windows

WINDOW_PIXEL = 512
ITERATIONS = 4
REACH_PIXEL = 12
"""How far one iteration looks: Laplacian and 5 x 5 median (4), growth (2), cleaning (2 or
more where a track is wide), fine structure beside (4)."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of L.A.Cosmic."""

    significance: float
    neighbour_fraction: float
    contrast: float


def find_by_laplacian(
    data: NDArray[np.float32],
    thresholds: Thresholds,
    *,
    electron_per_unit: float,
    read_noise_electron: float,
    unjudged: Unjudged,
    size: int = WINDOW_PIXEL,
) -> Iterator[Part]:
    """Find cosmic rays with the lacosmic package (van Dokkum 2001, PASP 113, 1420).

    Noise follows from the 5 x 5 median and the read noise, as in the paper, and not from a
    variance plane, which may hold the shot noise of the cosmic rays themselves.

    Parameters
    ----------
    data
        Frame with its background, shape (rows, columns).
    thresholds
        Thresholds of the algorithm.
    electron_per_unit
        Electrons per unit of `data`: 1, or the exposure time in seconds.
    read_noise_electron
        Read noise.
    unjudged
        Pixels that are left out.
    size
        Largest side of a window.

    Yields
    ------
    Part
        A window and where cosmic rays are in its judged part.
    """
    for window in windows((data.shape[0], data.shape[1]), size, ITERATIONS * REACH_PIXEL):
        seen = window.seen_rows, window.seen_columns
        mask = ~np.isfinite(data[seen]) | unjudged(*seen)
        pixels = np.where(mask, np.median(data[seen][~mask]) if not mask.all() else 0, data[seen])
        with _without_progress():
            _, found = remove_cosmics(
                pixels,
                contrast=thresholds.contrast,
                cr_threshold=thresholds.significance,
                neighbor_threshold=thresholds.neighbour_fraction * thresholds.significance,
                effective_gain=electron_per_unit,
                readnoise=read_noise_electron,
                mask=mask,
                maxiter=ITERATIONS,
            )
        yield window, found[window.inner] & ~mask[window.inner]


@contextmanager
def _without_progress() -> Iterator[None]:
    """Keep lacosmic from reporting every iteration of every window through astropy's log."""
    level = log.level
    log.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        log.setLevel(level)
