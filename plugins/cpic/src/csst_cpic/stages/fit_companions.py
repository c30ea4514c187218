"""`fit_companions`: contrast and position with errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from pydantic import Field

from csst_cpic.planets.companion_fit import CompanionFit, fit_companion
from csst_cpic.planets.experiment import Experiment, Source
from csst_cpic.planets.mask_transmission import transmission_at
from csst_cpic.planets.repeated import repeated
from csst_cpic.star.reduction import Reduction
from csst_cpic.star.sky_frame import central_pixel, to_offsets
from csstcore.api import (
    Cube,
    Image,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    caveat,
)

_BRIGHT = 40.0
"""Above this ratio of contrast and error, the image of the star is no longer exact enough."""
_ROUNDS = 2
"""Neighbours change each other's fits: each is fitted again with the others taken out."""
_NEAR_FWHM = 5.0
"""Companions whose separations differ by more do not meet in an annulus."""


def fit_companions(
    cube: Cube,
    frames: Table,
    reduction: Table,
    star: Image,
    companions: Table,
    library: Reference[Cube] | None = None,
    mask_transmission: Reference[Table] | None = None,
    *,
    centre_error_pixel: Annotated[float, Field(ge=0)] = 0.0,
    plate_scale_relative_error: Annotated[float, Field(ge=0)] = 0.0,
    north_offset_error_deg: Annotated[float, Field(ge=0)] = 0.0,
    contrast_relative_error: Annotated[float, Field(ge=0)] = 0.0,
) -> Annotated[Table, "companions"]:
    """Fit contrast and position of companions as negative ones in the raw frames.

    The reduction is repeated with exactly its settings. Errors are the scatter of the same
    estimate around the ring, and in quadrature the errors of calibration given here.

    Parameters
    ----------
    cube, frames, library
        What was reduced.
    reduction
        The settings of the reduction.
    star
        The star without coronagraph, of `measure_star`.
    companions
        Of `find_companions`.
    mask_transmission
        Of the focal-plane mask, by separation; without it contrasts are not corrected for it.
    centre_error_pixel
        Error of the star's place in the cube, along each axis.
    plate_scale_relative_error
        Error of the plate scale, as a part of it.
    north_offset_error_deg
        Error of the direction of North.
    contrast_relative_error
        Error of the star's flux, as a part of it.

    Returns
    -------
    Table
        The rows of `companions` with fitted ``x``, ``y``, ``separation``, ``position_angle``,
        ``contrast`` (companion over star), their errors (standard deviations, named
        ``..._error``), ``converged`` and ``apertures``. A companion whose fit does not converge
        keeps its place, without contrast and errors.

    Raises
    ------
    NotApplicable
        If there is no companion.
    UnprocessableData
        If cube, star and settings do not fit together.
    """
    if not len(companions):
        raise NotApplicable("there is no companion")
    settings = Reduction.from_table(reduction.table)
    experiment = repeated(cube, frames, reduction, star, library)
    separations = companions.table["separation"].to_value(u.arcsec) / settings.pixel_scale_arcsec
    angles = companions.table["position_angle"].to_value(u.deg)
    guesses = [Source(0.0, float(s), float(a)) for s, a in zip(separations, angles, strict=True)]
    fits = _fit_all(experiment, guesses)
    failed = sum(fit is None or not fit.converged for fit in fits)
    if failed:
        caveat(f"the fit of {failed} of {len(fits)} companions does not converge")
    _say_what_errors_leave_out(experiment, fits, contrast_relative_error)
    calibration = (
        centre_error_pixel,
        plate_scale_relative_error,
        np.radians(north_offset_error_deg),
        contrast_relative_error,
    )
    middle = central_pixel(cube.data.shape)
    rows = [
        _row(fit, guess, settings, middle, calibration)
        for fit, guess in zip(fits, guesses, strict=True)
    ]
    for row in rows:
        passing = float(transmission_at(mask_transmission, row["separation"] / 1e3))
        row["contrast"] /= passing
        row["contrast_error"] /= passing
    table = QTable(companions.table, copy=True)
    for name, unit in _COLUMNS.items():
        values = np.array([row[name] for row in rows])
        table[name] = values if unit is None else values * unit
    return Table(table, meta=companions.meta, wcs=companions.wcs)


_COLUMNS = {
    "x": u.pix,
    "y": u.pix,
    "x_error": u.pix,
    "y_error": u.pix,
    "separation": u.mas,
    "separation_error": u.mas,
    "position_angle": u.deg,
    "position_angle_error": u.deg,
    "contrast": None,
    "contrast_error": None,
    "converged": None,
    "apertures": None,
}


def _say_what_errors_leave_out(
    experiment: Experiment, fits: Sequence[CompanionFit | None], contrast_relative_error: float
) -> None:
    good = [fit for fit in fits if fit is not None and fit.converged]
    if good and not experiment.photon_variance > 0:
        caveat("the gain is unknown: errors leave out the noise of companions' own photons")
    bright = [fit for fit in good if fit.source.contrast > _BRIGHT * fit.contrast_error]
    if bright and not contrast_relative_error:
        caveat(
            f"{len(bright)} of {len(good)} companions are above {_BRIGHT:g} times their error, "
            "which leaves out how much the image of the star changes: set contrast_relative_error"
        )


def _fit_all(experiment: Experiment, guesses: Sequence[Source]) -> list[CompanionFit | None]:
    """Fit all companions, the most significant first, each without the others."""
    fits: list[CompanionFit | None] = [None] * len(guesses)
    for turn in range(_ROUNDS):
        for k, guess in enumerate(guesses):
            last = fits[k]
            if turn and (last is None or not _is_near_others(k, guesses, experiment.fwhm_pixel)):
                continue
            others = [f.source for j, f in enumerate(fits) if f and f.converged and j != k]
            try:
                fits[k] = fit_companion(experiment, last.source if last else guess, others)
            except UnprocessableData as cause:
                caveat(f"companion {k + 1}: {cause}")
                fits[k] = None
    return fits


def _is_near_others(k: int, guesses: Sequence[Source], fwhm_pixel: float) -> bool:
    """Return whether another companion is so near in radius that it can change a fit."""
    apart = [abs(g.separation_pixel - guesses[k].separation_pixel) for g in guesses]
    return sum(distance < _NEAR_FWHM * fwhm_pixel for distance in apart) > 1


def _row(
    fit: CompanionFit | None,
    guess: Source,
    settings: Reduction,
    middle: tuple[int, int],
    calibration: tuple[float, float, float, float],
) -> dict[str, float | bool | int]:
    """Return the values of one companion; errors of calibration are added in quadrature."""
    centre, scale, north, flux = calibration
    source = guess if fit is None or not fit.converged else fit.source
    good = fit is not None and fit.converged
    nan = float("nan")
    contrast, error, radial, tangential = (
        (source.contrast, fit.contrast_error, *_place_errors(fit))
        if fit is not None and good
        else (nan, nan, nan, nan)
    )
    separation = source.separation_pixel
    radial_all = float(np.hypot(np.hypot(radial, centre), separation * scale))
    tangential_all = float(np.hypot(np.hypot(tangential, centre), separation * north))
    dx, dy = (float(part) for part in to_offsets(separation, source.position_angle_deg))
    mas = settings.pixel_scale_arcsec * 1e3
    along_x, along_y = abs(dx) / separation, abs(dy) / separation
    return {
        "x": middle[1] + dx + 1,
        "y": middle[0] + dy + 1,
        "x_error": float(np.hypot(along_x * radial, along_y * tangential)),
        "y_error": float(np.hypot(along_y * radial, along_x * tangential)),
        "separation": separation * mas,
        "separation_error": radial_all * mas,
        "position_angle": source.position_angle_deg,
        "position_angle_error": float(np.degrees(tangential_all / separation)),
        "contrast": contrast,
        "contrast_error": float(np.hypot(error, contrast * flux)),
        "converged": good,
        "apertures": fit.apertures if fit is not None else 0,
    }


def _place_errors(fit: CompanionFit) -> tuple[float, float]:
    return fit.separation_error_pixel, fit.tangential_error_pixel
