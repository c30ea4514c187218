"""Cosmic rays: tracks through the silicon, their charge, and its diffusion.

Three kinds of particles, each with its own way:

- minimum-ionising (80 %): straight tracks, flux through a slab with ``p ~ cos(theta)
  sin(theta)``, 3.8 collisions per micrometre whose losses follow Rutherford's ``1/E^2``, which
  gives Landau's straggling and tail (Bichsel 1988, Rev. Mod. Phys. 60, 663);
- slow electrons (15 %): 20 to 300 keV, scattered at every step, so that their tracks curl up;
- heavy or slow nuclei (5 %): straight, 5 to 60 times the charge.

Charge made at depth z spreads by ``s sqrt(z / thickness)`` pixels before it is collected
(Groom et al. 1999), integrated over pixels.
"""

from __future__ import annotations

from math import erf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

STEP_UM = 1.0
EV_PER_ELECTRON = 3.65
_COLLISIONS_PER_UM = 3.8
_SMALLEST_LOSS_EV = 8.3
_LARGEST_LOSS_EV = 2.0e4
_MEV_PER_UM_AT_100_KEV = 7.0e-4
_LONGEST_TRACK_UM = 5000.0
_MIP, _ELECTRON, _NUCLEUS = 0, 1, 2


class Silicon(Protocol):
    """What particles need to know of a detector."""

    @property
    def cosmic_rays_per_cm2_s(self) -> float:
        """Rate."""

    @property
    def thickness_um(self) -> float:
        """Depth of the layer that collects charge."""

    @property
    def pixel_um(self) -> float:
        """Width of a pixel."""

    @property
    def diffusion_pixel(self) -> float:
        """Spread of charge made at the far side, 1 sigma."""


@compiled
def _spread(image: NDArray[np.float32], x: float, y: float, sigma: float, charge: float) -> None:
    """Add charge spread by a round Gaussian, integrated over pixels."""
    rows, columns = image.shape
    reach = 4.0 * sigma
    scale = 1.0 / (sigma * np.sqrt(2.0))
    for row in range(max(0, int(np.floor(y - reach + 0.5))), min(rows, int(y + reach + 0.5) + 1)):
        in_y = 0.5 * (erf((row + 0.5 - y) * scale) - erf((row - 0.5 - y) * scale))
        low, high = int(np.floor(x - reach + 0.5)), int(x + reach + 0.5) + 1
        for column in range(max(0, low), min(columns, high)):
            in_x = 0.5 * (erf((column + 0.5 - x) * scale) - erf((column - 0.5 - x) * scale))
            image[row, column] += charge * in_x * in_y


@compiled
def _rutherford_loss_ev(length_um: float, rng: np.random.Generator) -> float:
    """Draw the energy a minimum-ionising particle loses along a step."""
    total = 0.0
    inverse = 1.0 / _SMALLEST_LOSS_EV
    span = inverse - 1.0 / _LARGEST_LOSS_EV
    for _ in range(rng.poisson(_COLLISIONS_PER_UM * length_um)):
        total += 1.0 / (inverse - rng.random() * span)
    return total


@compiled
def _track(
    image: NDArray[np.float32],
    kind: int,
    rng: np.random.Generator,
    thickness: float,
    pixel: float,
    diffusion: float,
) -> None:
    """Follow one particle through the slab, in micrometres, and collect its charge."""
    rows, columns = image.shape
    x, y = rng.random() * columns * pixel, rng.random() * rows * pixel
    azimuth = 2.0 * np.pi * rng.random()
    cosine = np.sqrt(1.0 - rng.random())
    sine = np.sqrt(1.0 - cosine * cosine)
    dx, dy, dz = sine * np.cos(azimuth), sine * np.sin(azimuth), cosine
    z = 0.0
    energy_kev = 20.0 * 15.0 ** rng.random()
    boost = 5.0 * 12.0 ** rng.random() if kind == _NUCLEUS else 1.0
    if kind == _ELECTRON:
        z = thickness * rng.random()
    travelled = 0.0
    while 0.0 <= z <= thickness and travelled < _LONGEST_TRACK_UM:
        if kind == _ELECTRON:
            loss = 1e3 * _MEV_PER_UM_AT_100_KEV * (100.0 / energy_kev) ** 0.6
            loss = min(energy_kev, loss * (0.5 + rng.random()))
            charge = 1e3 * loss / EV_PER_ELECTRON
            energy_kev -= loss
            bend = 0.25 * (60.0 / max(energy_kev, 2.0)) ** 0.8
            dx += bend * rng.standard_normal()
            dy += bend * rng.standard_normal()
            dz += bend * rng.standard_normal()
            norm = np.sqrt(dx * dx + dy * dy + dz * dz)
            dx, dy, dz = dx / norm, dy / norm, dz / norm
        else:
            charge = boost * _rutherford_loss_ev(STEP_UM, rng) / EV_PER_ELECTRON
        depth = min(max(z, 0.02 * thickness), thickness)
        sigma = max(diffusion * np.sqrt(depth / thickness), 0.02)
        _spread(image, x / pixel - 0.5, y / pixel - 0.5, sigma, charge)
        x, y, z = x + dx * STEP_UM, y + dy * STEP_UM, z + dz * STEP_UM
        travelled += STEP_UM
        if kind == _ELECTRON and energy_kev < 0.1:
            break


@compiled
def _tracks(
    image: NDArray[np.float32],
    count: int,
    rng: np.random.Generator,
    thickness: float,
    pixel: float,
    diffusion: float,
) -> None:
    for _ in range(count):
        choice = rng.random()
        kind = _MIP if choice < 0.80 else (_ELECTRON if choice < 0.95 else _NUCLEUS)
        _track(image, kind, rng, thickness, pixel, diffusion)


def deposit_cosmic_rays(
    shape: tuple[int, int], duration_s: float, device: Silicon, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the electrons that cosmic rays leave in each pixel.

    Parameters
    ----------
    shape
        (rows, columns).
    duration_s
        Time during which charge is collected.
    device
        Gives rate, thickness, pixel and diffusion.
    rng
        Random numbers.
    """
    image = np.zeros(shape, np.float32)
    area_cm2 = shape[0] * shape[1] * (device.pixel_um * 1e-4) ** 2
    count = rng.poisson(device.cosmic_rays_per_cm2_s * area_cm2 * duration_s)
    _tracks(image, count, rng, device.thickness_um, device.pixel_um, device.diffusion_pixel)
    return image
