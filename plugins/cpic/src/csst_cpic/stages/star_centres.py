"""`fit_star_centres`: where the star is in each frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_cpic.camera.frame_key import key_columns
from csst_cpic.star.star_centre import Centre, Plane, gaussian_centre, spot_centre, symmetry_centre
from csstcore.api import Image, Table, UnprocessableData, caveat, common_meta, each, metric

CentreMethod = Literal["symmetry", "spots", "gaussian"]

_RADIUS_FRACTION = 0.4


def fit_star_centres(
    frames: Sequence[Image],
    *,
    fwhm_pixel: Annotated[float, Field(gt=0)],
    method: CentreMethod = "symmetry",
    spot_radius_pixel: Annotated[float, Field(gt=0)] | None = None,
    inner_radius_pixel: Annotated[float, Field(ge=0)] = 0.0,
    outer_radius_pixel: Annotated[float, Field(gt=0)] | None = None,
    together: bool = False,
) -> Annotated[Table, "centres"]:
    """Fit the centre of the star in each frame.

    Nothing is assumed of where the star is: the point about which a frame is most like itself
    turned by 180 degrees is looked for in the whole frame. It is the result (`symmetry`), or
    where four satellite spots are looked for (`spots`). An unocculted star is fitted with an
    elliptic Gaussian where the frame is brightest (`gaussian`).

    Parameters
    ----------
    frames
        Flagged pixels do not count.
    fwhm_pixel
        Width of an unocculted star, which is that of speckles and spots.
    method
        How. Without spots, symmetry is as good as the halo is symmetric: 0.1 to 0.6 pixel for a
        frame of SPHERE, by the ring, a hundredth for speckles of small aberrations. A saturated
        star has a Gaussian centre off by 0.06, 0.12 and 0.2 pixel where it is cut at 40, 20 and
        12 % of its peak.
    spot_radius_pixel
        Distance of the spots from the star, for `spots`.
    inner_radius_pixel, outer_radius_pixel
        Ring whose symmetry counts; from the star to 0.4 of the frame's side by default. Light
        that stays with a mask instead of the star belongs inside the ring; light of the star that
        leaks through it does not.
    together
        Fit the mean of all frames of an observation, for short exposures of faint stars that jump
        about by less than the error of a fit.

    Returns
    -------
    Table
        A row for each frame: obs_id, frame, x and y (pixel, from 1) with errors, NaN where the
        star was not found. Metrics ``star_x``, ``star_y`` (medians) and ``star_scatter``.

    Raises
    ------
    UnprocessableData
        If the star is found in no frame, or `spots` has no radius.
    """
    if method == "spots" and spot_radius_pixel is None:
        raise UnprocessableData("method spots needs spot_radius_pixel")
    causes: list[str] = []

    def fit(planes: tuple[Plane, NDArray[np.bool_]]) -> Centre | None:
        image, valid = planes
        outer = outer_radius_pixel or _RADIUS_FRACTION * min(image.shape)
        try:
            if not valid.any():
                raise UnprocessableData("every pixel of the frame is flagged")
            if method == "gaussian":
                return gaussian_centre(image, valid, fwhm_pixel)
            guess = symmetry_centre(image, valid, fwhm_pixel, inner_radius_pixel, outer)
            if spot_radius_pixel is None or method == "symmetry":
                return guess
            near = (guess.row, guess.column)
            return spot_centre(image, valid, fwhm_pixel, spot_radius_pixel, near)
        except UnprocessableData as error:
            causes.append(str(error))
            return None

    if together:
        groups = np.array([frame.meta.obs_id or "" for frame in frames])
        names, member = np.unique(groups, return_inverse=True)
        series = [[frames[int(k)] for k in np.flatnonzero(member == n)] for n in range(len(names))]
        fits = [fit(_mean(frames_of_one)) for frames_of_one in series]
        centres = [fits[number] for number in member]
    else:
        centres = each(lambda frame: fit(_mean([frame])), frames)
    found = [centre is not None for centre in centres]
    if not any(found):
        why = causes[0] if causes else "there is none"
        raise UnprocessableData(f"the star was found in none of {len(frames)} frames: {why}")
    if causes:
        lost = len(frames) - sum(found)
        caveat(f"the star was not found in {lost} of {len(frames)} frames: {causes[0]}")
    table = key_columns(frames)
    values = np.array([_row(centre) for centre in centres])
    for name, column in zip(("x", "y", "x_error", "y_error"), values.T, strict=True):
        table[name] = column * u.pix
    places = values[np.array(found), :2]
    metric("star_x", float(np.median(places[:, 0])))
    metric("star_y", float(np.median(places[:, 1])))
    metric("star_scatter", float(np.sqrt(np.mean(np.var(places, axis=0)))))
    return Table(table, common_meta([frame.meta for frame in frames]))


def _mean(frames: Sequence[Image]) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the mean of the pixels that count, and which have one."""
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        raise UnprocessableData(f"frames of one observation differ in shape: {sorted(shapes)}")
    total, number = np.zeros(frames[0].shape), np.zeros(frames[0].shape, np.int32)
    for frame in frames:
        valid = np.isfinite(frame.data) & ~frame.flagged()
        total += np.where(valid, frame.data, 0.0)
        number += valid
    return total / np.maximum(number, 1), number > 0


def _row(centre: Centre | None) -> tuple[float, float, float, float]:
    """Return x, y from 1 and their errors."""
    if centre is None:
        return (np.nan,) * 4
    return centre.column + 1, centre.row + 1, centre.column_error, centre.row_error
