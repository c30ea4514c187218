"""Charge of ionising particles in a silicon slab.

A particle crosses a slab of random thickness on a straight line (isotropic flux, so the
probability of the zenith angle is proportional to its cosine), loses energy with Landau
straggling in Moyal's approximation (Moyal 1955, Phil. Mag. 46, 263), throws delta electrons
that curl, and the charge diffuses on its way to the gates with a width that grows as the
square root of the drift length (Janesick 2001, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

STEP_PIXEL = 0.3
STAMP_PIXEL = 7
LONGEST_PIXEL = 300.0


@dataclass(frozen=True, slots=True)
class Silicon:
    """The sensitive layer."""

    thickness_um: float
    pixel_um: float
    diffusion_pixel: float
    """Gaussian sigma of charge that drifts through the whole layer."""


@dataclass(frozen=True, slots=True, eq=False)
class Charge:
    """Point charges inside the layer."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    depth: NDArray[np.float64]
    """Drift length as a fraction of the thickness, 0 to 1."""
    electron: NDArray[np.float64]


def draw_hit(silicon: Silicon, x: float, y: float, rng: np.random.Generator) -> Charge:
    """Draw one hit that enters at (`x`, `y`): a through-going track, a curl, a heavy, a photon."""
    kind = rng.choice(4, p=(0.72, 0.18, 0.05, 0.05))
    if kind == 1:
        return _curl(silicon, x, y, rng)
    if kind == 3:
        electron = float(rng.uniform(200, 3000))
        depth = float(rng.uniform())
        return Charge(*(np.array([value]) for value in (x, y, depth, electron)))
    boost = float(rng.uniform(4, 40)) if kind == 2 else 1.0
    return _track(silicon, x, y, boost, rng)


def deposit(charges: list[Charge], shape: tuple[int, int], silicon: Silicon) -> NDArray[np.float32]:
    """Collect point charges in pixels after diffusion.

    Parameters
    ----------
    charges
        Point charges; pixel (0, 0) covers -0.5 to 0.5 in both coordinates.
    shape
        Shape (rows, columns).
    silicon
        The layer they are in.

    Returns
    -------
    numpy.ndarray
        Electrons per pixel.
    """
    plane = np.zeros(shape, np.float64)
    if not charges:
        return plane.astype(np.float32)
    x, y, depth, electron = (
        np.concatenate([getattr(charge, name) for charge in charges])
        for name in ("x", "y", "depth", "electron")
    )
    sigma = np.maximum(silicon.diffusion_pixel * np.sqrt(depth), 0.02)
    offsets = np.arange(STAMP_PIXEL) - STAMP_PIXEL // 2
    shares = []
    corners = []
    for place in (y, x):
        pixel = np.rint(place).astype(np.intp)[:, None] + offsets
        edges = np.append(pixel - 0.5, pixel[:, -1:] + 0.5, axis=1)
        shares.append(np.diff(ndtr((edges - place[:, None]) / sigma[:, None]), axis=1))
        corners.append(pixel)
    rows = np.repeat(corners[0], STAMP_PIXEL, axis=1)
    columns = np.tile(corners[1], (1, STAMP_PIXEL))
    values = (shares[0][:, :, None] * shares[1][:, None, :]).reshape(len(x), -1)
    values *= electron[:, None]
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    np.add.at(plane, (rows[inside], columns[inside]), values[inside])
    return plane.astype(np.float32)


def _track(silicon: Silicon, x: float, y: float, boost: float, rng: np.random.Generator) -> Charge:
    slope = np.sqrt(1 / rng.uniform(1e-6, 1) - 1)
    depth_pixel = silicon.thickness_um / silicon.pixel_um
    run = min(depth_pixel * slope, LONGEST_PIXEL)
    path_um = silicon.pixel_um * np.hypot(run, depth_pixel)
    steps = max(4, int(np.ceil(run / STEP_PIXEL)))
    along = (np.arange(steps) + rng.uniform()) / steps
    angle = rng.uniform(0, 2 * np.pi)
    step_um = path_um / steps
    # Landau straggling in each step: width and shift grow with the logarithm of its length.
    width = 7.6 * step_um * boost
    most_probable = boost * step_um * (52 + 5.5 * np.log(max(step_um, 0.2)))
    moyal = -np.log(np.maximum(rng.chisquare(1, steps), 1e-9))
    electron = np.clip(most_probable + width * moyal, 0, 30 * boost * 80 * step_um)
    electron *= rng.uniform(0.8, 1.3)
    start = float(rng.choice((0.0, 1.0)))
    charge = Charge(
        x + run * along * np.cos(angle),
        y + run * along * np.sin(angle),
        np.abs(start - along),
        electron,
    )
    curls = [
        _curl(silicon, charge.x[index], charge.y[index], rng, float(rng.exponential(2.0)))
        for index in rng.integers(0, steps, rng.poisson(path_um / 150))
    ]
    return _joined([charge, *curls])


def _curl(
    silicon: Silicon,
    x: float,
    y: float,
    rng: np.random.Generator,
    length_pixel: float | None = None,
) -> Charge:
    """Draw a slow electron: a path that bends more and ionises more as it stops."""
    length = float(rng.gamma(1.5, 6.0)) if length_pixel is None else length_pixel
    steps = max(2, int(np.ceil(length / STEP_PIXEL)))
    left = 1 - np.arange(steps) / steps
    bends = rng.normal(0, rng.uniform(0.05, 0.4), steps) / np.sqrt(left)
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(bends)
    dive = rng.normal(0, 0.3) * STEP_PIXEL * silicon.pixel_um / silicon.thickness_um
    depth = np.clip(rng.uniform() + dive * np.arange(steps), 0, 1)
    mean = 70 * silicon.pixel_um * STEP_PIXEL * rng.lognormal(0, 0.4) / np.sqrt(left)
    return Charge(
        x + STEP_PIXEL * np.cumsum(np.cos(angle)),
        y + STEP_PIXEL * np.cumsum(np.sin(angle)),
        depth,
        rng.gamma(2.0, mean / 2.0),
    )


def _joined(charges: list[Charge]) -> Charge:
    return Charge(
        *(
            np.concatenate([getattr(charge, name) for charge in charges])
            for name in ("x", "y", "depth", "electron")
        )
    )
