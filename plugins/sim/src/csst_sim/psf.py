"""The effective point-spread function: Gaussians whose shape follows the field.

The effective PSF holds optics, jitter, charge diffusion and the pixel's response (Anderson &
King 2000, PASP 112, 1360): its value at the centre of a pixel is the pixel's share of the
flux. The centroid (first moment) of the sum is the source's position: coma shifts the two
core components against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_sim.settings import Optics

_STREAM = 0x95F


@dataclass(frozen=True)
class PsfField:
    """The PSF over the field; polynomials of second degree of field position."""

    fraction: NDArray[np.float64]
    sigma: NDArray[np.float64]
    core: NDArray[np.bool_]
    scale: NDArray[np.float64]
    """Coefficients of the core's width, relative; as the following for 1, u, v, u2, uv, v2."""
    e1: NDArray[np.float64]
    e2: NDArray[np.float64]
    coma_x: NDArray[np.float64]
    coma_y: NDArray[np.float64]


@dataclass(frozen=True)
class Shapes:
    """Components of the PSF at each of many positions; arrays (positions, components)."""

    fraction: NDArray[np.float64]
    dx: NDArray[np.float64]
    dy: NDArray[np.float64]
    xx: NDArray[np.float64]
    xy: NDArray[np.float64]
    yy: NDArray[np.float64]


def draw_psf(optics: Optics, instrument_seed: int, varies: bool) -> PsfField:
    """Draw the PSF of an instrument; constant over the field and round unless it `varies`."""
    rng = np.random.default_rng([instrument_seed, _STREAM])

    def polynomial(middle: float, amplitude: float) -> NDArray[np.float64]:
        terms = rng.uniform(-1.0, 1.0, 5)
        terms *= amplitude * rng.uniform(0.7, 1.0) / np.abs(terms).sum()
        return np.concatenate([[middle], terms if varies else 0.0 * terms])

    low, high = optics.psf_fwhm_pixel
    fraction = np.array([part.fraction for part in optics.psf])
    sigma = np.array([part.sigma_pixel for part in optics.psf])
    middle = 0.5 * (low + high) / full_width(fraction, sigma)
    return PsfField(
        fraction=fraction,
        sigma=sigma,
        core=np.array([part.core for part in optics.psf]),
        scale=polynomial(middle, middle * (high - low) / (high + low)),
        e1=polynomial(0.0, optics.psf_ellipticity / np.sqrt(2.0)),
        e2=polynomial(0.0, optics.psf_ellipticity / np.sqrt(2.0)),
        coma_x=polynomial(0.0, optics.psf_coma_pixel / np.sqrt(2.0)),
        coma_y=polynomial(0.0, optics.psf_coma_pixel / np.sqrt(2.0)),
    )


def full_width(fraction: NDArray[np.float64], sigma: NDArray[np.float64]) -> float:
    """Return the full width at half maximum of concentric round Gaussians, in pixels."""
    radius = np.linspace(0.0, 5.0, 5001)
    profile = (fraction / sigma**2 * np.exp(-0.5 * (radius[:, None] / sigma) ** 2)).sum(1)
    return float(2.0 * np.interp(0.5, profile[::-1] / profile[0], radius[::-1]))


def shapes(psf: PsfField, u: NDArray[np.float64], v: NDArray[np.float64]) -> Shapes:
    """Return the components of the PSF at field positions in units of the field's radius."""
    basis = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    scale, e1, e2 = basis @ psf.scale, basis @ psf.e1, basis @ psf.e2
    ones = np.ones((len(u), len(psf.sigma)))
    sigma = np.where(psf.core, psf.sigma * scale[:, None], psf.sigma * ones)
    part = np.where(psf.core, 1.0, 0.0)
    first, second = np.flatnonzero(psf.core)[:2]
    coma = np.zeros_like(ones)
    total = psf.fraction[first] + psf.fraction[second]
    coma[:, first] = psf.fraction[second] / total
    coma[:, second] = -psf.fraction[first] / total
    return Shapes(
        fraction=psf.fraction / psf.fraction.sum() * ones,
        dx=coma * (basis @ psf.coma_x)[:, None],
        dy=coma * (basis @ psf.coma_y)[:, None],
        xx=sigma**2 * (1.0 + e1[:, None] * part),
        xy=sigma**2 * e2[:, None] * part,
        yy=sigma**2 * (1.0 - e1[:, None] * part),
    )
