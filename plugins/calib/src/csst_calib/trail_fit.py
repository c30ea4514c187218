"""Traps from the trails behind flat fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from csst_calib.trail_profiles import TrailProfile
from csst_calib.traps import REFERENCE_ELECTRON, Traps

Values = NDArray[np.float64]
STARTS_PIXEL = ((3.0,), (0.7, 6.0))
"""Release times from which fits of one and of two species start."""
RELEASE_RANGE_PIXEL = (0.1, 100.0)
EXPONENT_RANGE = (0.1, 1.0)
LEAST_ELECTRON = 100.0
"""Charge below which a frame has no light to leave a trail."""
EXPONENT = 0.5
"""Exponent where the flats are all of one level (Massey et al. 2014: 0.4 to 0.6)."""
CHARGE_RATIO = 2.0
"""Ratio of the highest to the lowest charge from which an exponent can be measured."""


@dataclass(frozen=True, eq=False)
class TrailFit:
    """Traps of every channel in one direction, with their relative errors."""

    traps: tuple[Traps, ...]
    density_error: tuple[Values, ...]
    exponent_error: float
    chi_square: float
    """Of the common fit, per degree of freedom."""


def trail_of(traps: Traps, charge: float, transfers: int, pixels: int) -> Values:
    """Return the trail behind a long row of equal packets, in electrons.

    Traps are in balance with the last packet: they hold what it reaches, less what they
    released into it, and release it into the empty packets that follow.
    """
    step = np.arange(1, pixels + 1)[:, None]
    kept = np.exp(-1.0 / traps.release_pixel)
    held = transfers * traps.density * (charge / REFERENCE_ELECTRON) ** traps.exponent
    return np.asarray((held * (1 - kept) * kept**step).sum(axis=1))


def fit_trails(profiles: Sequence[Sequence[TrailProfile]], transfers: int) -> TrailFit:
    """Fit one or two species to trails of many charges.

    Release times and the exponent are properties of the traps and common to all channels:
    they are fitted to the mean profile of all channels, as is the ratio of the species' densities.
    Two species are taken if chi^2 falls by more than twice the logarithm of the number of
    points (Bayesian information criterion). The density of a channel is then scaled to its own
    trails, and drawn to the common one by the share of the scatter between channels that is
    noise (James & Stein 1961).

    Parameters
    ----------
    profiles
        By frame and channel.
    transfers
        Pixels that the last packet passed.

    Raises
    ------
    ValueError
        If there is no light, or no trail 3 sigma above zero.
    """
    charge = np.array([[p.charge for p in frame] for frame in profiles])
    if not charge.min() > LEAST_ELECTRON:
        raise ValueError(
            f"a flat frame has {charge.min():.0f} electron at the edge of a channel; expected "
            f"more than {LEAST_ELECTRON:.0f}"
        )
    trail = np.array([[p.trail for p in frame] for frame in profiles])
    error = np.array([[p.error for p in frame] for frame in profiles])
    weight = 1 / error**2
    mean = (weight * trail).sum(axis=1) / weight.sum(axis=1)
    mean_error = 1 / np.sqrt(weight.sum(axis=1))
    fits = [
        _Common(charge.mean(axis=1), mean, mean_error, transfers, start) for start in STARTS_PIXEL
    ]
    common = fits[1] if fits[0].chi_square - fits[1].chi_square > 2 * np.log(mean.size) else fits[0]
    model = np.array([[common.predict(q, trail.shape[2]) for q in row] for row in charge])
    information = (weight * model**2).sum(axis=(0, 2))
    scale = (weight * model * trail).sum(axis=(0, 2)) / information
    scale_error = 1 / np.sqrt(information)
    if not scale.mean() > 3 * np.sqrt((scale_error**2).sum()) / scale.size:
        raise ValueError("no trail is seen")
    scale, scale_error = _drawn_together(scale, scale_error)
    relative = np.hypot(common.density_error[None, :], scale_error[:, None])
    return TrailFit(
        traps=tuple(
            Traps(common.traps.density * s, common.traps.release_pixel, common.traps.exponent)
            for s in scale
        ),
        density_error=tuple(r * common.traps.density for r in relative),
        exponent_error=common.exponent_error,
        chi_square=common.chi_square / max(mean.size - common.parameters, 1),
    )


def _drawn_together(scale: Values, error: Values) -> tuple[Values, Values]:
    """Return the scales drawn to their mean by the share of noise in their scatter."""
    mean = float(np.average(scale, weights=error**-2))
    real = max(0.0, float(np.mean((scale - mean) ** 2 - error**2)))
    share = real / (real + error**2)
    mean_error = 1 / np.sqrt((error**-2).sum())
    left = np.sqrt(share * error**2 + (1 - share) ** 2 * mean_error**2)
    return np.maximum(mean + share * (scale - mean), 0.0), left


class _Common:
    """A fit of the profile that all channels have in common."""

    def __init__(
        self, charge: Values, trail: Values, error: Values, transfers: int, start: tuple[float, ...]
    ) -> None:
        self._transfers = transfers
        species = len(start)
        free = charge.max() >= CHARGE_RATIO * charge.min()
        held = max(float(trail[charge.argmax()].sum()), float(error.min()))
        density = held / transfers / (charge.max() / REFERENCE_ELECTRON) ** EXPONENT / species
        first = [*np.full(species, density), *np.log(start), *([EXPONENT] if free else [])]
        low, high = np.log(RELEASE_RANGE_PIXEL)
        lower = [*np.zeros(species), *np.full(species, low), *([EXPONENT_RANGE[0]] if free else [])]
        upper = [
            *np.full(species, np.inf),
            *np.full(species, high),
            *([EXPONENT_RANGE[1]] if free else []),
        ]

        def residual(values: Values) -> Values:
            traps = _traps(values, species)
            pixels = trail.shape[1]
            model = np.array([trail_of(traps, q, transfers, pixels) for q in charge])
            return np.asarray(((trail - model) / error).ravel())

        scale = [*np.full(species, density), *np.ones(len(first) - species)]
        found = least_squares(residual, first, bounds=(lower, upper), x_scale=scale)
        order = np.argsort(found.x[species : 2 * species])
        places = np.concatenate([order, species + order, np.arange(2 * species, len(first))])
        self.traps = _traps(found.x[places], species)
        self.parameters = len(first)
        self.chi_square = float(2 * found.cost)
        covariance = np.linalg.pinv(found.jac.T @ found.jac)
        sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))[places]
        self.density_error = sigma[:species] / np.maximum(self.traps.density, 1e-12)
        self.exponent_error = float(sigma[-1]) if free else 0.0

    def predict(self, charge: float, pixels: int) -> Values:
        """Return the common trail at one charge."""
        return trail_of(self.traps, charge, self._transfers, pixels)


def _traps(values: Values, species: int) -> Traps:
    exponent = float(values[2 * species]) if len(values) > 2 * species else EXPONENT
    return Traps(np.array(values[:species]), np.exp(values[species : 2 * species]), exponent)
