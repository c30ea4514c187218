"""The noise of pixels without the light of the sources, and what the light adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SKY_QUANTILE = 0.2
SOURCE_EXCESS = 1.2
"""Where the variance exceeds the sky's by this factor, the light of sources is in it."""

BRIGHT_SIGNAL = 30.0
"""Sources with this signal to noise or more tell how variance grows with light."""

CORE_HALF_PIXEL, SKY_HALF_PIXEL = 2, 12
MOST_SOURCES = 500


@dataclass(frozen=True)
class Planes:
    """The image to fit; planes of one shape."""

    data: NDArray[np.float32]
    background: NDArray[np.float32]
    variance: NDArray[np.float32]
    flags: NDArray[np.uint16] | None

    def box(self, row: int, column: int, half: int) -> tuple[slice, slice]:
        """Return the pixels around one, cut at the edges."""
        return (
            slice(max(row - half, 0), max(row + half + 1, 0)),
            slice(max(column - half, 0), max(column + half + 1, 0)),
        )

    def pixels(self, box: tuple[slice, slice]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the pixels without background, and where they can be used; 0 elsewhere."""
        variance = self.variance[box]
        pixels = self.data[box].astype(np.float64) - self.background[box]
        valid = np.isfinite(pixels) & np.isfinite(variance) & (variance > 0)
        if self.flags is not None:
            valid &= self.flags[box] == 0
        pixels[~valid] = 0.0
        return pixels, valid


def sky_variance(variance: NDArray[np.float32], valid: NDArray[np.bool_]) -> Floats:
    """Return the variance of a cutout without the light of sources, 0 where not `valid`.

    The sky's variance of a pixel is kept as it is; where there is a source it is that of the
    cutout's sky.
    """
    result = np.where(valid, variance, 0.0).astype(np.float64)
    if valid.any():
        level = float(np.quantile(result[valid], SKY_QUANTILE))
        np.minimum(result, level, out=result, where=result > SOURCE_EXCESS * level)
    return result


def gain_variance(planes: Planes, x: Floats, y: Floats, signal_to_noise: Floats) -> float:
    """Return the variance per unit of light, from the cores of bright sources.

    Parameters
    ----------
    planes
        The image.
    x, y
        Positions of sources, 0-based pixels.
    signal_to_noise
        Of their fluxes.

    Returns
    -------
    float
        The median; 0 if no source is bright enough to matter.
    """
    ratios = []
    brightest = np.argsort(-signal_to_noise, kind="stable")[:MOST_SOURCES]
    for k in brightest[signal_to_noise[brightest] > BRIGHT_SIGNAL]:
        row, column = round(float(y[k])), round(float(x[k]))
        wide = planes.box(row, column, SKY_HALF_PIXEL)
        _, valid = planes.pixels(wide)
        if not valid.any():
            continue
        variance = planes.variance[wide]
        sky = float(np.quantile(variance[valid], SKY_QUANTILE))
        core = planes.box(row, column, CORE_HALF_PIXEL)
        light, usable = planes.pixels(core)
        if usable.all() and light.sum() > 0.0:
            excess = float(np.sum(planes.variance[core].astype(np.float64) - sky))
            ratios.append(max(excess / float(light.sum()), 0.0))
    return float(np.median(ratios)) if ratios else 0.0
