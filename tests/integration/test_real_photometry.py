"""Repeatability of the photometry of real frames."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from csst_calib.stages.fill import fill_flagged
from csst_imaging.stages.background import estimate_background
from csst_imaging.stages.detection import detect_sources
from csst_imaging.stages.photometry import measure_photometry
from csstcore.api import Image, Table
from csstcore.notes import collecting

DATA = os.environ.get("CSST_TEST_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data"),
]
APERTURE = 2
DEFECT = 96.0
"""Four times the noise: 1.5 % of the pixels are dark in one frame or the other."""


def drift(first: Image, second: Image) -> tuple[float, float]:
    """Return rows and columns by which stars moved; the fixed pattern did not."""
    one, two = (
        np.fft.rfft2(gaussian_filter(image.data, 3) - gaussian_filter(image.data, 40))
        for image in (first, second)
    )
    likeness = np.fft.irfft2(one * np.conj(two), s=first.shape)
    likeness = np.roll(likeness, (100, 100), (0, 1))[:201, :201].copy()
    likeness[94:107, 94:107] = -np.inf
    row, column = np.unravel_index(likeness.argmax(), likeness.shape)
    return (
        row - 100 + vertex(likeness[row - 1 : row + 2, column]),
        column - 100 + vertex(likeness[row, column - 1 : column + 2]),
    )


def vertex(values: NDArray[np.float64]) -> float:
    """Return the place of the maximum of a parabola through three values."""
    low, middle, high = values
    return float(0.5 * (low - high) / (low - 2.0 * middle + high))


def test_fluxes_of_five_frames_of_m13_repeat_within_their_errors() -> None:
    """Unguided frames of 5 s that drift by 46 pixels; the noise has a fixed pattern.

    The transparency of each frame is taken out. Errors come from the noise of the sky alone.
    """
    frames = []
    for path in sorted((Path(DATA) / "imaging" / "m13").glob("*.fits.gz")):
        data = fits.getdata(path).astype(np.float32)
        flags = (np.abs(data - gaussian_filter(data, 6)) > DEFECT).astype(np.uint16)
        with collecting():
            frames.append(fill_flagged(Image(data, flags=flags)))
    assert len(frames) == 5
    moved = [(0.0, 0.0), *(drift(frames[0], frame) for frame in frames[1:])]
    stack = [
        shift(frame.data, by, order=1, mode="nearest")
        for frame, by in zip(frames, moved, strict=True)
    ]
    catalogs = []
    with collecting():
        deep = Image(np.mean(stack, axis=0).astype(np.float32))
        sources = detect_sources(
            deep,
            estimate_background(deep, box_pixel=128),
            threshold=0.9,
            min_area_pixel=12,
            kernel_fwhm_pixel=5.0,
        ).table
        for frame, (rows, columns) in zip(frames, moved, strict=True):
            table = sources.copy()
            table["x"] -= columns * table["x"].unit
            table["y"] -= rows * table["y"].unit
            background = estimate_background(frame, box_pixel=128)
            catalogs.append(measure_photometry(frame, Table(table), background).table)
    inside = np.all([edge_distance(catalog, frames[0].shape) > 60 for catalog in catalogs], axis=0)
    flux, error = (
        np.stack([catalog[name].value[inside, APERTURE] for catalog in catalogs])
        for name in ("flux_aperture", "flux_aperture_error")
    )
    signal_to_noise = flux.mean(axis=0) / error.mean(axis=0)
    bright = signal_to_noise > 6
    scale = flux[:, bright].sum(axis=1) / flux[:, bright].mean(axis=0).sum()
    flux, error = flux / scale[:, None], error / scale[:, None]
    pull = (flux - flux.mean(axis=0)) / (error * np.sqrt(0.8))
    found = float(np.std(pull[:, signal_to_noise > 2]))
    print(f"pull of {np.count_nonzero(signal_to_noise > 2)} sources in 5 frames: {found:.3f}")
    assert np.count_nonzero(signal_to_noise > 2) > 80
    assert np.abs(scale - 1.0).max() < 0.1
    assert 0.9 < found < 1.35


def edge_distance(table: Table, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the distance to the nearest edge, pixel."""
    x, y = table["x"].value, table["y"].value
    return np.minimum.reduce([x, y, shape[1] - x, shape[0] - y])
