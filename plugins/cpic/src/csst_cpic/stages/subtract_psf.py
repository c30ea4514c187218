"""`subtract_psf`: what is left when the star is modelled and subtracted."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from pydantic import Field

from csst_cpic.planets.repeated import without_flagged
from csst_cpic.star.frame_angles import frame_angles_deg
from csst_cpic.star.klip import StarSubtraction
from csst_cpic.star.reduction import Combination, Method, Mode, Reduction
from csst_cpic.star.sky_wcs import sky_wcs
from csstcore.api import Cube, Image, Reference, Table, UnprocessableData, caveat, metric


def subtract_psf(
    cube: Cube,
    frames: Table,
    library: Reference[Cube] | None = None,
    *,
    fwhm_pixel: Annotated[float, Field(gt=0)],
    inner_radius_pixel: Annotated[float, Field(ge=0)],
    outer_radius_pixel: Annotated[float, Field(gt=0)],
    annulus_width_pixel: Annotated[float, Field(gt=0)],
    sectors: Annotated[int, Field(ge=1)] = 1,
    method: Method = "klip",
    mode: Mode = "adi",
    components: Annotated[int, Field(ge=1)] = 8,
    exclusion_fwhm: Annotated[float, Field(ge=0)] = 1.0,
    most_correlated: Annotated[int, Field(ge=0)] = 0,
    minimum_references: Annotated[int, Field(ge=1)] = 2,
    combination: Combination = "mean",
) -> tuple[Annotated[Image, "residual"], Annotated[Table, "reduction"]]:
    """Model the star in each frame, subtract it, and combine the frames with North up.

    In sectors of annuli the star is modelled by the leading Karhunen-Loeve modes (Soummer,
    Pueyo & Larkin 2012, ApJ 755, L28) or non-negative components (Ren et al. 2018, ApJ 852, 104)
    of other frames: of this series (adi), of other stars (rdi), or of both.

    Parameters
    ----------
    cube, frames
        Of `register_frames`; angles and scale are those of the frames.
    library
        Registered frames of stars without companions, for rdi and adi+rdi.
    fwhm_pixel
        Width of an unocculted star.
    inner_radius_pixel, outer_radius_pixel, annulus_width_pixel, sectors
        Zones in which the star is modelled.
    method
        Karhunen-Loeve modes (klip) or non-negative components (nmf).
    mode
        Where the frames that model the star come from.
    components
        Number of modes or components.
    exclusion_fwhm
        A frame models another one only if a companion moved by more than this between them, in
        units of `fwhm_pixel`.
    most_correlated
        Model a frame by this many of those frames, the most similar ones; 0 is by all.
    minimum_references
        A zone of a frame with fewer frames to model it is left out.
    combination
        Mean, median, or mean weighted with 1 / variance of a pixel over the residual frames.

    Returns
    -------
    residual
        Pixels that no frame covers are NaN, flagged ``bad``. Metrics ``frames`` and
        ``lost_zones``.
    reduction
        One row with all settings, `csst_cpic.star.reduction.Reduction`.

    Raises
    ------
    UnprocessableData
        If the settings contradict each other, or the frames have no plate scale or cannot model
        each other.
    """
    if cube.meta.pixel_scale is None:
        raise UnprocessableData("the frames have no plate scale, which orient_frames can give")
    pixel_scale_arcsec = float(cube.meta.pixel_scale.to_value(u.arcsec))
    settings = Reduction(
        fwhm_pixel=fwhm_pixel,
        inner_radius_pixel=inner_radius_pixel,
        outer_radius_pixel=outer_radius_pixel,
        annulus_width_pixel=annulus_width_pixel,
        pixel_scale_arcsec=pixel_scale_arcsec,
        method=method,
        mode=mode,
        components=components,
        sectors=sectors,
        exclusion_fwhm=exclusion_fwhm,
        most_correlated=most_correlated,
        minimum_references=minimum_references,
        combination=combination,
    )
    if library is not None and library.unit != cube.unit:
        raise UnprocessableData(f"the library is in {library.unit}; expected {cube.unit}")
    variance = cube.variance
    subtraction = StarSubtraction(
        without_flagged(cube),
        frame_angles_deg(cube, frames),
        settings,
        None if library is None else without_flagged(library),
        variance,
    )
    result = subtraction.result()
    _report(subtraction)
    residual = Image(
        result.image,
        cube.unit,
        result.variance,
        np.zeros(result.image.shape, np.uint16),
        sky_wcs(cube.meta, subtraction.shape, pixel_scale_arcsec),
        cube.meta,
        cube.flag_bits,
    )
    residual.set_flag("bad", result.count == 0)
    return residual, Table(settings.to_table(), cube.meta)


def _report(subtraction: StarSubtraction) -> None:
    """Tell which zones have no residual, and where fewer modes were to be had."""
    settings = subtraction.reduction
    used = subtraction.references >= settings.minimum_references
    lost = [subtraction.zones[k] for k in np.flatnonzero(~used.any(axis=1))]
    metric("frames", subtraction.references.shape[1])
    metric("lost_zones", len(lost))
    if lost:
        edge = max(zone.outer_pixel for zone in lost)
        caveat(
            f"{len(lost)} of {len(used)} zones, out to {edge:.1f} pixels, have no residual: every "
            f"frame is within exclusion_fwhm = {settings.exclusion_fwhm} of the others"
        )
    partly = int(np.count_nonzero(~used.all(axis=1))) - len(lost)
    if partly:
        caveat(f"{partly} of {len(used)} zones lack frames that no other frame can model")
    fewest = int(subtraction.references[used].min())
    if fewest < settings.components:
        caveat(f"{settings.components} components of as few as {fewest} frames: fewer are used")
