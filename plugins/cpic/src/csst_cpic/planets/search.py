"""Search of a cube for companions that takes out each one found before it looks for the next."""

from __future__ import annotations

from typing import Final

import numpy as np

from csst_cpic.planets.companion_fit import fit_companion
from csst_cpic.planets.detection import Detection, detect
from csst_cpic.planets.experiment import Experiment, Source
from csst_cpic.planets.frame_scatter import levels
from csstcore.api import UnprocessableData

_MASKED_FWHM: Final = 1.0
"""Radius around a companion found in which no other is looked for, nor noise."""


def search(
    experiment: Experiment, significance_sigma: float, largest_number: int
) -> list[Detection]:
    """Return the sources above a significance, the most significant first.

    What a reduction leaves of a bright companion reaches farther than its peak: wings, and the
    light that the modes took from around it. So it is fitted and taken out of the raw frames, and
    the reduction is repeated, before the next one is looked for. The place itself is masked, as
    where a fit does not converge.

    Parameters
    ----------
    experiment
        The cube, and how it is reduced.
    significance_sigma, largest_number
        As in `csst_cpic.planets.detection.detect`.
    """
    found: list[Detection] = []
    masked: list[Source] = []
    taken: list[Source] = []
    width = experiment.fwhm_pixel
    while len(found) < largest_number:
        image = experiment.image(take=taken)
        for source in masked:
            image[experiment.distance(source) <= _MASKED_FWHM * width] = np.nan
        level = levels(experiment.subtraction, experiment.signal(take=taken))
        best = next(iter(detect(image, level, width, significance_sigma, 1)), None)
        if best is None:
            break
        guess = Source(0.0, best.separation_pixel, best.position_angle_deg)
        masked.append(guess)
        found.append(best)
        try:
            fit = fit_companion(experiment, guess, taken)
        except UnprocessableData:
            continue
        if fit.converged:
            taken.append(fit.source)
    return found
