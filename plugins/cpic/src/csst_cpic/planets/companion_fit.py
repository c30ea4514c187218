"""Negative companions: contrast and position of a source in the raw frames.

A model companion is taken out of every frame before the star is subtracted, and its contrast and
place are changed until nothing is left of it in the reduced image (Lagrange et al. 2010, Science
329, 57; Marois, Macintosh & Veran 2010, SPIE 7736). What the reduction takes from a companion is
thereby taken from the model as well. The fit is a Gauss-Newton iteration whose derivatives are
differences of whole reductions; pixels are weighted with the inverse of their covariance. Errors
are the scatter of the same linear estimate at other position angles of the ring, as the standard
deviation of Student's t for the apertures there, and the noise of the companion's own photons.

The best contrast over all places is too large, by 1 / (contrast / error)^2 to first order where two
coordinates are free: 1 % at a signal over noise of 10. That much is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from csst_cpic.planets.companion_noise import LinearFit, NoiseCorrelation
from csst_cpic.planets.experiment import Experiment, Source
from csst_cpic.planets.small_samples import aperture_number
from csst_cpic.star.sky_frame import to_offsets, to_polar
from csstcore.api import UnprocessableData

Float = NDArray[np.float64]

PATCH_FWHM: Final = 1.0
"""Radius of the pixels that are fitted."""
_NEAR_FWHM: Final = 2.0
"""Radius of the pixels that tell the derivatives, wide enough to turn them."""
_RING_FWHM: Final = 2.5
"""Half width of the ring that is reduced."""
_CLEAR_FWHM: Final = 1.5
"""Noise is not looked for within this of a companion."""
_FLUX_STEP: Final = 0.1
_SHIFT_FWHM: Final = 0.05
"""Steps of the derivatives by contrast (a part of it) and by position."""
_LONGEST_FWHM: Final = 0.5
"""Longest step of an iteration."""
_LOST_FWHM: Final = 1.5
"""Farther from the guess it is another source, or none."""
_ITERATIONS: Final = 12
_LEAST_ERROR: Final = 0.02
"""Steps are in units of the errors, but of no less than this, of flux and FWHM."""
_CHANGED: Final = 1.0
"""After a step longer than this, in standard deviations, derivatives are measured anew."""
_LEAST_PLACES: Final = 4
"""Fewer of them give no scatter."""
_CONVERGED: Final = 0.02
"""A step this small, in standard deviations, is the last."""


@dataclass(frozen=True)
class CompanionFit:
    """A companion with its errors (standard deviations, from noise alone)."""

    source: Source
    contrast_error: float
    separation_error_pixel: float
    tangential_error_pixel: float
    """Of the position along the ring: the separation times the position angle."""
    converged: bool
    apertures: int
    """Resolution elements of the ring, from which the errors are."""


def fit_companion(
    experiment: Experiment, guess: Source, others: Sequence[Source] = ()
) -> CompanionFit:
    """Fit one companion; others are taken out of the frames as they are.

    Parameters
    ----------
    experiment
        The cube, and how it is reduced.
    guess
        About where the companion is, to half a FWHM; a contrast of 0 is unknown.
    others
        Known companions, this one not included.

    Raises
    ------
    UnprocessableData
        If the reduced image does not show the place, or no noise around it.
    """
    source = guess if guess.contrast else _first_contrast(experiment, guess, others)
    size = np.inf
    least = _LEAST_ERROR * np.array([1.0, experiment.fwhm_pixel, experiment.fwhm_pixel])
    for _ in range(_ITERATIONS):
        ring = _Ring(experiment, source, others)
        image = ring.image(take=[source])
        if size > _CHANGED:
            linear = ring.linear(image)
        step = -linear.step(image)
        size = float(np.max(np.abs(step) / np.maximum(linear.formal_errors, least)))
        if size < _CONVERGED:
            break
        source = ring.moved(step)
        if _apart(source, guess) > _LOST_FWHM * experiment.fwhm_pixel:
            break
    errors = np.sqrt(np.diag(ring.covariance(image, linear)))
    best = _scaled(source, source.contrast * (1.0 - min(float(errors[0]), 1.0) ** 2))
    return CompanionFit(
        best,
        float(errors[0]) * abs(source.contrast),
        float(errors[1]),
        float(errors[2]),
        size < _CONVERGED,
        int(aperture_number(source.separation_pixel, experiment.fwhm_pixel)),
    )


def _first_contrast(experiment: Experiment, guess: Source, others: Sequence[Source]) -> Source:
    """Return the guess with a contrast: the peak of the image over that of the response."""
    ring = _Ring(experiment, guess, others)
    image = ring.image()
    patch = np.isfinite(image) & (ring.distance <= PATCH_FWHM / 2 * experiment.fwhm_pixel)
    empty = np.isfinite(image) & ring.empty
    noise = float(image[empty].std()) if empty.any() else 0.0
    if not patch.any() or not noise > 0:
        raise UnprocessableData("the reduced image shows nothing at the companion, or no noise")
    contrast = noise / float(experiment.star.image.max())
    response = (ring.image(add=[_scaled(guess, contrast)]) - image)[patch] / contrast
    power = float(np.sum(response**2))
    if not power > 0:
        raise UnprocessableData("the reduced image shows nothing of a companion there")
    return _scaled(guess, float(np.sum(image[patch] * response)) / power)


def _scaled(source: Source, contrast: float) -> Source:
    return Source(contrast, source.separation_pixel, source.position_angle_deg)


class _Ring:
    """The ring of the reduced image in which a companion is."""

    def __init__(self, experiment: Experiment, source: Source, others: Sequence[Source]) -> None:
        self.experiment, self.source, self.others = experiment, source, others
        self.fwhm = experiment.fwhm_pixel
        middle, half = source.separation_pixel, _RING_FWHM * self.fwhm
        self.radii = (middle - half - 2 * self.fwhm, middle + half + 2 * self.fwhm)
        off = np.abs(experiment.radius() - middle)
        self.where = off <= half
        self.distance = experiment.distance(source)
        self.empty = off <= self.fwhm
        for each in (source, *others):
            self.empty &= experiment.distance(each) > _CLEAR_FWHM * self.fwhm

    def image(
        self,
        add: Sequence[Source] = (),
        take: Sequence[Source] = (),
        where: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return the ring, or some of its pixels, with sources added or taken away."""
        where = self.where if where is None else where
        return self.experiment.image(add, (*take, *self.others), self.radii, where)

    def displaced(self, relative_flux: float, radial: float, tangential: float) -> Source:
        """Return the source with more flux (a part of its own) at another place (pixels)."""
        here = self.source
        dx, dy = to_offsets(here.separation_pixel + radial, here.position_angle_deg)
        east, north = to_offsets(tangential, here.position_angle_deg + 90.0)
        separation, angle = to_polar(dx + east, dy + north)
        return Source(here.contrast * (1 + relative_flux), float(separation), float(angle))

    def responses(self, image: NDArray[np.float32]) -> Float:
        """Return the derivatives of the residual by flux, radial and tangential place.

        They are there around the companion; zero elsewhere.
        """
        near = self.distance <= _NEAR_FWHM * self.fwhm

        def without(relative_flux: float, radial: float, tangential: float) -> Float:
            model = self.displaced(relative_flux, radial, tangential)
            return np.asarray(self.image(take=[model], where=near), np.float64)

        step = _SHIFT_FWHM * self.fwhm
        planes = [
            (without(_FLUX_STEP, 0.0, 0.0) - image) / _FLUX_STEP,
            (without(0.0, step, 0.0) - without(0.0, -step, 0.0)) / (2 * step),
            (without(0.0, 0.0, step) - without(0.0, 0.0, -step)) / (2 * step),
        ]
        return np.nan_to_num(np.array(planes))

    def linear(self, image: NDArray[np.float32]) -> LinearFit:
        """Return the least-squares step at the companion.

        Raises
        ------
        UnprocessableData
            If the image does not tell the parameters there.
        """
        valid = np.isfinite(image)
        noise = NoiseCorrelation.measured(image, self.empty & valid, round(1.5 * self.fwhm))
        patch = self.distance <= PATCH_FWHM * self.fwhm
        return LinearFit.of(self.responses(image), noise, patch & valid)

    def covariance(self, image: NDArray[np.float32], linear: LinearFit) -> Float:
        """Return the second moments of the step where there is no companion, and its photons'."""
        here, steps = self.source, []
        number = max(2 * int(aperture_number(here.separation_pixel, self.fwhm)), 8)
        for turned in np.arange(1, number) * 360.0 / number:
            place = Source(0.0, here.separation_pixel, here.position_angle_deg + turned)
            known = (here, *self.others)
            if min(_apart(place, each) for each in known) < 2 * _CLEAR_FWHM * self.fwhm:
                continue
            patch = self.experiment.distance(place) <= PATCH_FWHM * self.fwhm
            steps.append(linear.turned(float(turned), patch & np.isfinite(image)).step(image))
        if len(steps) < _LEAST_PLACES:
            return np.full((3, 3), np.nan)
        around = np.mean([np.outer(step, step) for step in steps], axis=0)
        freedom = max(int(aperture_number(here.separation_pixel, self.fwhm)) - 1, 3)
        around *= freedom / (freedom - 2)
        photons = linear.estimator * self._own_variance()[linear.patch]
        return np.asarray(around + photons @ linear.estimator.T)

    def _own_variance(self) -> Float:
        """Return the variance that the companion's own photons add to the reduced image."""
        star, source = self.experiment.star, self.source
        plane = np.zeros((1, *self.where.shape), np.float32)
        turned = replace(star, angles_deg=np.zeros(1), scales=np.ones(1))
        turned.add(plane, source.contrast, source.separation_pixel, source.position_angle_deg)
        frames = len(star.scales)
        factor = self.experiment.photon_variance * float(np.mean(star.scales)) / frames
        return np.asarray(factor * np.maximum(plane[0], 0.0), np.float64)

    def moved(self, step: Float) -> Source:
        """Return the source after a step of its parameters, of limited length."""
        longest = _LONGEST_FWHM * self.fwhm
        flux = float(np.clip(step[0], -0.7, 2.0))
        return self.displaced(flux, *np.clip(step[1:], -longest, longest))


def _apart(one: Source, other: Source) -> float:
    first = np.array(to_offsets(one.separation_pixel, one.position_angle_deg))
    second = np.array(to_offsets(other.separation_pixel, other.position_angle_deg))
    return float(np.hypot(*(first - second)))
