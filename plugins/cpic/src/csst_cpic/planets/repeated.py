"""A reduction repeated from its products: the cube, its frames and the stored settings."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_cpic.planets.experiment import Experiment, Source
from csst_cpic.planets.mask_transmission import transmission_at
from csst_cpic.planets.point_source import PointSource
from csst_cpic.star.frame_angles import frame_angles_deg
from csst_cpic.star.klip import StarSubtraction
from csst_cpic.star.reduction import Reduction
from csst_cpic.star.star_width import fwhm
from csstcore.api import Cube, Image, Table, UnprocessableData, caveat

_SAMPLE = 1_000_000
_OTHER_WIDTH = 0.15
"""A star this much wider or narrower is of another filter or telescope."""


def star_subtraction(
    cube: Cube, frames: Table, reduction: Table, library: Cube | None
) -> StarSubtraction:
    """Return the subtraction of `subtract_psf`, ready to be repeated.

    Parameters
    ----------
    cube, frames, library
        What was reduced.
    reduction
        Its settings, one row.

    Raises
    ------
    UnprocessableData
        If the settings are incomplete or do not fit the cube.
    """
    return StarSubtraction(
        without_flagged(cube),
        frame_angles_deg(cube, frames),
        Reduction.from_table(reduction.table),
        None if library is None else without_flagged(library),
    )


def repeated(
    cube: Cube, frames: Table, reduction: Table, star: Image, library: Cube | None
) -> Experiment:
    """Return the subtraction of `subtract_psf`, ready to be repeated with point sources.

    Parameters
    ----------
    cube, frames, reduction, library
        As in `star_subtraction`.
    star
        The star without coronagraph, of `measure_star`.

    Raises
    ------
    UnprocessableData
        As `star_subtraction`, or if the units of star and cube do not fit.
    """
    subtraction = star_subtraction(cube, frames, reduction, library)
    scales = star_scales(cube, frames, star)
    width, expected = fwhm(star.data), subtraction.reduction.fwhm_pixel
    if abs(width - expected) > _OTHER_WIDTH * expected:
        caveat(f"the star is {width:.2f} pixels wide, the reduction is for {expected:.2f}")
    source = PointSource.of(star.data, subtraction.angles_deg, scales)
    return Experiment(subtraction, source, photon_variance(cube))


def without_flagged(cube: Cube) -> NDArray[np.float32]:
    """Return the values of a cube, NaN where a flag is set."""
    if cube.flags is None:
        return cube.data
    return np.where(cube.flags == 0, cube.data, np.float32(np.nan))


def photon_variance(cube: Cube) -> float:
    """Return the variance that a unit of flux brings along.

    The slope of the variances of a cube over its values, which holds the excess noise of a
    multiplying register. Without variances a cube of electrons is of a CCD, and one of counts
    with a gain as well; of any other nothing is known, and 0 is returned.
    """
    if cube.variance is None:
        if cube.unit == u.adu and cube.meta.gain is not None:
            return float(1.0 / cube.meta.gain.to_value(u.electron / u.adu))
        return 1.0 if cube.unit == u.electron else 0.0
    step = max(cube.data.size // _SAMPLE, 1)
    values = without_flagged(cube).ravel()[::step].astype(np.float64)
    variances = cube.variance.ravel()[::step].astype(np.float64)
    good = np.isfinite(values) & np.isfinite(variances)
    if np.count_nonzero(good) < 3 or not np.ptp(values[good]) > 0:
        return 0.0
    return max(float(np.polyfit(values[good], variances[good], 1)[0]), 0.0)


def star_scales(cube: Cube, frames: Table, star: Image) -> NDArray[np.float64]:
    """Return the star's flux in each frame over that of its own image.

    Exposure times count where one of both is per second and the other not. Without an
    exposure time of the star's image, it is taken for that of the frames; without one of the
    frames, they are taken to be as long as the image of the star.

    Raises
    ------
    UnprocessableData
        If the units do not fit, or some frames have an exposure time and others have not.
    """
    count = len(cube.data)
    per_frame, rate = (star.unit / cube.unit, star.unit / cube.unit * u.s)
    if per_frame.is_equivalent(u.dimensionless_unscaled):
        return np.full(count, per_frame.to(u.dimensionless_unscaled))
    if rate.is_equivalent(u.dimensionless_unscaled):
        seconds = _exposures_s(frames, star)
        return np.asarray(rate.to(u.dimensionless_unscaled) * seconds, np.float64)
    raise UnprocessableData(
        f"the image of the star is in {star.unit}, the cube in {cube.unit}; one must be the other "
        "or the other per second"
    )


def _exposures_s(frames: Table, star: Image) -> NDArray[np.float64]:
    """Return the exposure time of each frame; that of the star's image where they have none."""
    seconds = np.asarray(frames.table["exposure_time"].to_value(u.s), np.float64)
    unknown = ~(np.isfinite(seconds) & (seconds > 0))
    if not unknown.any():
        return seconds
    if not unknown.all() or star.meta.exposure_time is None:
        raise UnprocessableData(
            f"{np.count_nonzero(unknown)} of {len(seconds)} frames have no exposure time, and the "
            f"image of the star is in {star.unit}"
        )
    caveat(
        "the frames have no exposure time: the counts of the image of the star are taken for "
        "those it would have in one frame"
    )
    return np.full(len(seconds), star.meta.exposure_time.to_value(u.s))


def sources_of(companions: Table, reduction: Reduction, mask: Table | None) -> list[Source]:
    """Return the companions of a table that have a contrast, as the mask passes them."""
    table = companions.table
    if "contrast" not in table.colnames:
        return []
    separations = table["separation"].to_value(u.arcsec) / reduction.pixel_scale_arcsec
    angles = table["position_angle"].to_value(u.deg)
    contrasts = np.asarray(u.Quantity(table["contrast"]).value, np.float64)
    contrasts = contrasts * transmission_at(mask, table["separation"].to_value(u.arcsec))
    sources = [
        Source(float(contrast), float(separation), float(angle))
        for contrast, separation, angle in zip(contrasts, separations, angles, strict=True)
        if np.isfinite(contrast) and contrast > 0
    ]
    if len(sources) < len(table):
        caveat(f"{len(table) - len(sources)} companions without contrast are left in the frames")
    return sorted(sources, key=lambda source: -source.contrast)
