"""The guide on cubes of other telescopes, command by command, on a cube with known planets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import j1

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "coronagraph_cube.md"
DATA = os.environ.get("CSST_TEST_DATA", "")
NACO = Path(DATA) / "coronagraph" / "naco_psf.fits"
SCALE_MAS, PEAK, SATURATION = 27.2, 3.0e4, 2.0e4
PLANETS = [(16.6, 211.0, 3.0e-2), (30.0, 80.0, 4.0e-3)]
"""Separation in pixels, position angle, contrast."""


@pytest.mark.parametrize(
    "star",
    [
        pytest.param("airy", id="airy"),
        pytest.param(
            "naco",
            marks=[
                pytest.mark.data,
                pytest.mark.skipif(not DATA, reason="CSST_TEST_DATA names no folder of real data"),
            ],
        ),
    ],
)
def test_the_commands_of_the_guide_find_the_planets(star: str, tmp_path: Path) -> None:
    image = airy(39, 4.6) if star == "airy" else fits.getdata(NACO).astype(np.float64)
    write_cube(tmp_path, image * PEAK / image.max())
    done = run_guide(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (tmp_path / "out").rglob("*_COMP_*.fits")
    table = QTable.read(path)
    assert len(table) == 2
    assert np.all(table["CONVERGD"])
    for separation, angle, contrast in PLANETS:
        away = table["SEP_MAS"].value - separation * SCALE_MAS
        row = table[np.argmin(np.abs(away))]
        assert abs(row["CONTRAST"] - contrast) < 3.5 * row["E_CONTR"]
        assert row["E_CONTR"] < 0.15 * contrast
        assert np.abs(away).min() < 3.5 * row["E_SEP"].value
        assert abs(row["PA_DEG"].value - angle) < 3.5 * row["E_PA"].value
        assert row["E_SEP"].value < 0.3 * SCALE_MAS
    (path,) = (tmp_path / "out").rglob("*_CONT_*.fits")
    limits = QTable.read(path)
    assert np.all(np.diff(limits["SEP_MAS"].value) > 0)
    assert np.all((limits["THROUGH"] > 0.3) & (limits["THROUGH"] < 1.1))
    assert limits["CONTRAST"][-1] < 0.1 * limits["CONTRAST"][0]


def run_guide(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run all lines that the guide shows behind a dollar sign."""
    lines = re.findall(r"^\$ (.*)$", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert len(lines) == 3
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", "set -ex\n" + "\n".join(lines)],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def airy(size: int, fwhm_pixel: float) -> NDArray[np.float64]:
    y, x = np.mgrid[:size, :size] - size // 2
    radius = np.pi * 1.02899 / fwhm_pixel * np.hypot(x, y) + 1e-12
    return np.asarray((2 * j1(radius) / radius) ** 2)


def write_cube(folder: Path, star: NDArray[np.float64]) -> None:
    """Frames of a saturated star in a halo of drifting speckles, with planets; and the star.

    Planets are shifted by their Fourier transform, with nothing of the code under test.
    """
    rng = np.random.default_rng(3)
    frames, size = 24, 91
    angles = np.linspace(-25.0, 35.0, frames)
    middle, pad = size // 2, (size - star.shape[0]) // 2
    wide = np.pad(star, pad)
    y, x = np.mgrid[:size, :size] - middle
    waves = [wave(size, rng) for _ in range(4)]
    weights = rng.normal(size=(3, 2))
    cube = np.empty((frames, size, size), np.float32)
    for frame, angle in zip(cube, angles, strict=True):
        weights = 0.95 * weights + 0.31 * rng.normal(size=weights.shape)
        field = waves[0] + 0.15 * sum(
            (real + 1j * imaginary) * each
            for (real, imaginary), each in zip(weights, waves[1:], strict=True)
        )
        light = np.minimum(wide, SATURATION) + 400 * np.exp(-np.hypot(x, y) / 14) * abs(field) ** 2
        for separation, position, contrast in PLANETS:
            turn = np.radians(position - angle)
            light += contrast * shifted(wide, separation * np.cos(turn), -separation * np.sin(turn))
        frame[:] = light + rng.normal(0.0, 6.0, light.shape)
    units = [fits.PrimaryHDU(cube), fits.ImageHDU(angles, name="ANGLES")]
    fits.HDUList(units).writeto(folder / "star_cube.fits")
    fits.PrimaryHDU(star.astype(np.float32)).writeto(folder / "star_psf.fits")


def wave(size: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    parts = gaussian_filter(rng.normal(size=(2, size, size)), (0, 2.0, 2.0))
    field = parts[0] + 1j * parts[1]
    return np.asarray(field / np.sqrt(np.mean(np.abs(field) ** 2)))


def shifted(image: NDArray[np.float64], dy: float, dx: float) -> NDArray[np.float64]:
    frequency = np.fft.fftfreq(len(image))
    phase = np.exp(-2j * np.pi * (frequency[:, np.newaxis] * dy + frequency * dx))
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * phase).real)
