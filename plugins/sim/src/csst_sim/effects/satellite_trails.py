"""Light of satellites that cross the field: straight or slightly bent lines.

A body at distance d is out of focus by the angle ``D / d`` of the telescope's aperture D, which
spreads its trail as the projection of a disc; bodies that tumble vary along the trail. Nothing
of this depends on the exposure time, for they cross in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

_STEP = 0.05
"""Pixels between the points of a tabulated profile."""


@dataclass(frozen=True)
class Trail:
    """One trail, in 0-based pixels."""

    x: float
    y: float
    """A point it passes."""
    angle: float
    """Direction from the x axis in radians."""
    bend: float
    """Deviation from the straight line at 1000 pixels from the point."""
    electron_per_pixel: float
    """Electrons per pixel of its length."""
    sigma_pixel: float
    """Width of the PSF."""
    disc_pixel: float
    """Diameter of the defocused disc; 0 in focus."""
    tumbling: float
    """Relative amplitude of the variation."""
    period_pixel: float
    phase: float
    start: float
    end: float
    """Ends along the line, in pixels from the point."""


def profile(trail: Trail) -> NDArray[np.float64]:
    """Return the share of the light by distance from the middle, in steps of 0.05 pixel.

    A disc seen from the side, convolved with a Gaussian, integrated to 1 over both sides.
    """
    reach = 0.5 * trail.disc_pixel + 5.0 * trail.sigma_pixel
    steps = int(np.ceil(reach / _STEP))
    distance = np.arange(-steps, steps + 1) * _STEP
    gaussian = np.exp(-0.5 * (distance / trail.sigma_pixel) ** 2)
    if trail.disc_pixel > 2 * _STEP:
        disc = np.sqrt(np.maximum(0.25 * trail.disc_pixel**2 - distance**2, 0.0))
        gaussian = np.convolve(gaussian, disc, mode="same")
    gaussian /= gaussian.sum() * _STEP
    return np.ascontiguousarray(gaussian[steps:])


def add_trail(image: NDArray[np.float32], trail: Trail, scale: float = 1.0) -> None:
    """Add a trail to an image, in place; `scale` multiplies its electrons."""
    steep = abs(np.sin(trail.angle)) > abs(np.cos(trail.angle))
    view, x, y = (image, trail.x, trail.y) if steep else (image.T, trail.y, trail.x)
    ux, uy, bend = np.cos(trail.angle), np.sin(trail.angle), trail.bend * 1e-6
    if not steep:
        ux, uy, bend = uy, ux, -bend
    _add(
        view,
        x,
        y,
        ux,
        uy,
        bend,
        trail.electron_per_pixel * scale,
        trail.tumbling,
        2.0 * np.pi / trail.period_pixel,
        trail.phase,
        trail.start,
        trail.end,
        profile(trail),
    )


@compiled
def _add(
    image: NDArray[np.float32],
    x: float,
    y: float,
    ux: float,
    uy: float,
    bend: float,
    level: float,
    tumbling: float,
    wave: float,
    phase: float,
    start: float,
    end: float,
    profile: NDArray[np.float64],
) -> None:
    """Add a trail whose direction is nearer to the rows' axis of counting than to the columns'.

    Its middle is ``-bend t^2`` across the line at ``t`` along it.
    """
    rows, columns = image.shape
    reach = (len(profile) - 1) * _STEP
    for row in range(rows):
        t = (row - y) / uy
        middle = x + ux * t - bend * t * t / uy
        half = reach / abs(uy) + 2.0
        for column in range(max(0, int(middle - half)), min(columns, int(middle + half) + 2)):
            along = (column - x) * ux + (row - y) * uy
            if along < start or along > end:
                continue
            across = (column - x) * uy - (row - y) * ux
            place = abs(across + bend * along * along) / _STEP
            first = int(place)
            if first + 1 >= len(profile):
                continue
            share = profile[first] + (place - first) * (profile[first + 1] - profile[first])
            image[row, column] += level * share * (1.0 + tumbling * np.cos(wave * along + phase))
