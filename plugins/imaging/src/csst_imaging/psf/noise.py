"""The noise of pixels as the sky's, known from the variance plane, plus a model's photons.

A variance plane made from the image itself is smoothed, or correlated with the noise it
describes; weights taken from it bias fluxes. What fits of point sources need are two numbers:
the variance without sources, and how much a source adds to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL_PIXEL = 64
SAMPLE_PIXEL = 4
"""Distance of the pixels of which medians are taken."""


@dataclass(frozen=True)
class SkyVariance:
    """Medians of a variance plane in square cells."""

    cells: NDArray[np.float32]
    """Shape (cells along y, cells along x); infinite where half of the pixels have none."""

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance at 0-based pixel positions."""
        rows, columns = self.cells.shape
        row = np.clip(y / CELL_PIXEL, 0, rows - 1).astype(np.int64)
        column = np.clip(x / CELL_PIXEL, 0, columns - 1).astype(np.int64)
        return self.cells[row, column].astype(np.float64)


def sky_variance(variance: NDArray[np.float32]) -> SkyVariance:
    """Return the variance of pixels without sources.

    Parameters
    ----------
    variance
        Shape (rows, columns); pixels that are not finite or not positive do not count.
    """
    part = variance[::SAMPLE_PIXEL, ::SAMPLE_PIXEL]
    side = CELL_PIXEL // SAMPLE_PIXEL
    rows, columns = (-(-size // side) for size in part.shape)
    beyond = [(0, rows * side - part.shape[0]), (0, columns * side - part.shape[1])]
    padded = np.pad(part, beyond, mode="edge")
    padded[~(np.isfinite(padded) & (padded > 0))] = np.inf
    cells = padded.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows, columns, -1)
    return SkyVariance(np.median(cells, axis=-1))


def photon_variance(
    data: NDArray[np.float32], variance: NDArray[np.float32], sky: NDArray[np.float64]
) -> float:
    """Return how much variance a source adds per unit of its flux.

    Parameters
    ----------
    data, variance
        Background-subtracted stamps of bright stars and their variance plane, shape
        (stars, rows, columns); pixels without value have infinite variance.
    sky
        Variance without sources, shape (stars,).

    Returns
    -------
    float
        Median over the stars of added variance over flux, not negative; 0 without stars.
    """
    used = np.isfinite(variance)
    flux = np.asarray(np.sum(data, axis=(1, 2), where=used, dtype=np.float64))
    excess = np.where(used, variance - sky[:, None, None], 0.0)
    added = np.asarray(np.sum(excess, axis=(1, 2), dtype=np.float64))
    good = (flux > 0) & np.isfinite(added)
    if not good.any():
        return 0.0
    return max(0.0, float(np.median(added[good] / flux[good])))
