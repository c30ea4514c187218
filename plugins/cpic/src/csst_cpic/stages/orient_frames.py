"""`orient_frames`: the angles and the scale of frames of any telescope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import astropy.units as u
import numpy as np
from pydantic import Field

from csstcore.api import Image, Table, UnprocessableData, caveat, replace


def orient_frames(
    frames: Sequence[Image],
    angles: Table | None = None,
    *,
    angle_sign: Literal[1, -1] = 1,
    north_offset_deg: float = 0.0,
    plate_scale_mas: Annotated[float, Field(gt=0)] | None = None,
    gain_electron_per_adu: Annotated[float, Field(gt=0)] | None = None,
) -> Annotated[Sequence[Image | None], "frames"]:
    """Give frames of any telescope the position angle of their +y axis, and their scale.

    This is the one place for the astrometric zero point: all that follows takes angles and scale
    from the frames.

    Parameters
    ----------
    frames
        With the angles of their file if it has any.
    angles
        Angles from a file of their own, one a frame; they count before those of the cube.
    angle_sign
        1 if the angles are position angles of +y, from North through East: parallactic angles of
        frames with the zenith up, or the angles by which frames are turned counter-clockwise to
        have North up. -1 if they grow the other way.
    north_offset_deg
        Added to each angle (after its sign): the position angle of +y where the angle is 0.
    plate_scale_mas
        Of a pixel; without it, that of the file.
    gain_electron_per_adu
        Electrons of a count, for the photon noise of companions; without it, that of the file.

    Returns
    -------
    Sequence
        Frames that share the planes; None for those without an angle.

    Raises
    ------
    UnprocessableData
        If there are no angles, not one a frame, or no scale.
    """
    given = [frame.meta.position_angle for frame in frames]
    if angles is not None:
        given = list(angles.table["position_angle"])
    if len(given) != len(frames):
        raise UnprocessableData(f"found {len(given)} angles for {len(frames)} frames")
    lost = [k for k, angle in enumerate(given) if angle is None or not np.isfinite(angle)]
    if len(lost) == len(given):
        raise UnprocessableData(
            "the frames have no angles: neither the cube, nor its header, nor a file of angles"
        )
    if lost:
        told = ", ".join(str(k) for k in lost[:5]) + (" ..." if len(lost) > 5 else "")
        caveat(f"{len(lost)} of {len(given)} frames are left out, without an angle: {told}")
    oriented: list[Image | None] = []
    for frame, angle in zip(frames, given, strict=True):
        if angle is None or not np.isfinite(angle):
            oriented.append(None)
            continue
        scale = frame.meta.pixel_scale if plate_scale_mas is None else plate_scale_mas * u.mas
        if scale is None:
            raise UnprocessableData("the frames give no plate scale: set plate_scale_mas")
        gain = frame.meta.gain
        if gain_electron_per_adu is not None:
            gain = gain_electron_per_adu * u.electron / u.adu
        turned = angle_sign * angle.to(u.deg) + north_offset_deg * u.deg
        meta = replace(
            frame.meta,
            position_angle=turned % (360 * u.deg),
            pixel_scale=scale.to(u.arcsec),
            gain=gain,
        )
        oriented.append(replace(frame, meta=meta))
    return oriented
