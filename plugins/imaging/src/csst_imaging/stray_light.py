"""`StrayLight`: where bright stars leave light beside themselves (reference ``stray_light``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ghost:
    """A disc of light that was reflected twice; its place is linear in that of the star."""

    fraction: float
    """Part of the star's light."""
    radius_pixel: float
    hole: float
    """Inner over outer radius."""
    shift_pixel: tuple[float, float]
    """Of the ghost from a star on the optical axis."""
    scale: float
    """Further shift per distance of the star from the optical axis."""
    margin_pixel: float
    """By how much the place is uncertain."""


@dataclass(frozen=True, slots=True)
class Halo:
    """Scattered light about a star: ``(1 + r^2 / core^2)^(-exponent / 2)``."""

    fraction: float
    """Part of the star's light, to infinity."""
    core_pixel: float
    exponent: float
    """More than 2."""
    inner_pixel: float
    """Nearer than this the star's image, not its halo, is what one sees."""


@dataclass(frozen=True, slots=True)
class StarColour:
    """Brightness of a star in a filter from Gaia's photometry."""

    zero_point_mag: float
    """AB magnitude of a source of 1 electron per second."""
    constant: float
    slope: float
    """AB magnitude - G = constant + slope (BP-RP - 0.8)."""


@dataclass(frozen=True, slots=True)
class StrayLight:
    """Ghosts and scattered light of a camera."""

    ghosts: tuple[Ghost, ...]
    halo: Halo
    filters: dict[str, StarColour]
