"""Negative companions: contrast and position of a source in the raw frames.

A model companion is taken out of every frame before the star is subtracted, and its contrast and
place are changed until nothing is left of it in the reduced image (Lagrange et al. 2010, Science
329, 57; Marois, Macintosh & Veran 2010, SPIE 7736). What the reduction takes from a companion is
thereby taken from the model as well. The fit is a Gauss-Newton iteration whose derivatives are
differences of whole reductions; pixels are weighted with the inverse of their covariance. Errors
are the scatter of the same linear estimate at other position angles of the ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from csst_cpic.companion_noise import LinearFit, NoiseCorrelation
from csst_cpic.experiment import Experiment, Source
from csst_cpic.sky_frame import to_offsets, to_polar
from csst_cpic.small_samples import aperture_number

Float = NDArray[np.float64]

PATCH_FWHM: Final = 1.0
"""Radius of the pixels that are fitted."""
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
_LINEARISED: Final = 3
"""Derivatives are measured anew in the first so many iterations, and then every so often."""
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
    """
    source = guess if guess.contrast else _first_contrast(experiment, guess, others)
    converged = False
    for iteration in range(_ITERATIONS):
        ring = _Ring(experiment, source, others)
        image = ring.image(take=[source])
        if iteration < _LINEARISED or iteration % _LINEARISED == 0:
            linear = ring.linear(image, ring.responses(image))
        step = -linear.step(image)
        converged = bool(np.all(np.abs(step) < _CONVERGED * linear.formal_errors))
        if converged and iteration + 1 >= _LINEARISED:
            break
        source = ring.moved(step)
        if _apart(source, guess) > _LOST_FWHM * experiment.fwhm_pixel:
            break
    errors = np.sqrt(np.diag(ring.covariance(image, linear)))
    return CompanionFit(
        source,
        float(errors[0]) * abs(source.contrast),
        float(errors[1]),
        float(errors[2]),
        converged,
        int(aperture_number(source.separation_pixel, experiment.fwhm_pixel)),
    )


def _first_contrast(experiment: Experiment, guess: Source, others: Sequence[Source]) -> Source:
    """Return the guess with a contrast: the peak of the image over that of the response."""
    ring = _Ring(experiment, guess, others)
    image = ring.image()
    patch = ring.distance <= PATCH_FWHM / 2 * experiment.fwhm_pixel
    noise = float(np.nanstd(image[ring.empty]))
    contrast = noise / float(experiment.star.image.max())
    response = (ring.image(add=[_scaled(guess, contrast)]) - image)[patch] / contrast
    return _scaled(guess, float(np.nansum(image[patch] * response) / np.nansum(response**2)))


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

    def image(self, add: Sequence[Source] = (), take: Sequence[Source] = ()) -> NDArray[np.float32]:
        take = (*take, *self.others)
        return self.experiment.image(add, take, self.radii, self.where)

    def displaced(self, relative_flux: float, radial: float, tangential: float) -> Source:
        """Return the source with more flux (a part of its own) at another place (pixels)."""
        here = self.source
        dx, dy = to_offsets(here.separation_pixel + radial, here.position_angle_deg)
        east, north = to_offsets(tangential, here.position_angle_deg + 90.0)
        separation, angle = to_polar(dx + east, dy + north)
        return Source(here.contrast * (1 + relative_flux), float(separation), float(angle))

    def responses(self, image: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the derivatives of the residual by flux, radial and tangential place."""
        brighter = self.image(take=[self.displaced(_FLUX_STEP, 0.0, 0.0)])
        planes = [(brighter - image) / _FLUX_STEP]
        step = _SHIFT_FWHM * self.fwhm
        for radial, tangential in ((step, 0.0), (0.0, step)):
            ahead = self.image(take=[self.displaced(0.0, radial, tangential)])
            behind = self.image(take=[self.displaced(0.0, -radial, -tangential)])
            planes.append((ahead - behind) / (2 * step))
        return np.nan_to_num(np.array(planes, np.float64))

    def linear(self, image: NDArray[np.float32], responses: Float) -> LinearFit:
        """Return the least-squares step at the companion.

        Raises
        ------
        UnprocessableData
            If the image does not tell the parameters there.
        """
        valid = np.isfinite(image)
        noise = NoiseCorrelation.measured(image, self.empty & valid, round(1.5 * self.fwhm))
        patch = self.distance <= PATCH_FWHM * self.fwhm
        return LinearFit.of(responses, noise, patch & valid)

    def covariance(self, image: NDArray[np.float32], linear: LinearFit) -> Float:
        """Return the second moments of the step where there is no companion."""
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
        return np.asarray(np.mean([np.outer(step, step) for step in steps], axis=0))

    def moved(self, step: Float) -> Source:
        """Return the source after a step of its parameters, of limited length."""
        longest = _LONGEST_FWHM * self.fwhm
        flux = float(np.clip(step[0], -0.7, 2.0))
        return self.displaced(flux, *np.clip(step[1:], -longest, longest))


def _apart(one: Source, other: Source) -> float:
    first = np.array(to_offsets(one.separation_pixel, one.position_angle_deg))
    second = np.array(to_offsets(other.separation_pixel, other.position_angle_deg))
    return float(np.hypot(*(first - second)))
