"""Flags of the trails that satellites leave."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from csst_calib.agreement import require_readout
from csst_calib.readout import Readout
from csst_calib.satellite_trails.binned import Binned, bin_frame
from csst_calib.satellite_trails.mask import flag_trail
from csst_calib.satellite_trails.radon import Candidate, find_lines
from csst_calib.satellite_trails.refine import refine
from csst_calib.satellite_trails.trail import Trail, chord
from csstcore.api import Image, Reference, UnprocessableData, caveat, metric, replace

LEFT_OUT = ("bad", "hot", "saturated", "cosmic_ray")
MOST_TRAILS = 20
MOST_REFUSED = 8
"""Lines looked at closely and found to be none, after which the search ends."""
_CANDIDATE_SIGMA = 5.5
"""A frame has some 10^7 independent lines: the highest of pure noise is at 5.3."""


def flag_trails(
    image: Image,
    readout: Reference[Readout] | None = None,
    *,
    significance: Annotated[float, Field(ge=5)] = 8.0,
    shortest_pixel: Annotated[int, Field(ge=50)] = 400,
) -> Annotated[Image, "image"]:
    """Flag as ``trail`` the trails of satellites and other objects that cross the frame.

    The frame is binned to about 1000 cells a side with pixels cut at 3 sigma, and summed
    along all lines by the fast discrete Radon transform (Goetz & Druckmueller 1996; Nir,
    Zackay & Ofek 2018, AJ 156, 229). The best lines are looked at in the frame itself: the
    profile across, by medians of pieces along, gives place, bend, width and ends, and must be
    there all along. The flag goes as far as the trail is above a tenth of a pixel's noise.

    Parameters
    ----------
    image
        Image with its sky, in any unit; unchanged.
    readout
        Geometry of the channels, whose bias drifts row by row; without it the frame counts as
        one channel.
    significance
        Least signal over noise of all of a trail's light.
    shortest_pixel
        Least length of a trail. It must be longer than edge-on galaxies and tracks of cosmic
        rays.

    Returns
    -------
    image
        With flags of its own; all else is shared. Metrics: ``trails`` and ``trail_pixels``,
        their area.

    Raises
    ------
    UnprocessableData
        If the image has no flag ``trail``, or not the shape of the readout.
    """
    if "trail" not in image.flag_bits:
        raise UnprocessableData(
            f"the image has no flag 'trail'; it has {', '.join(image.flag_bits) or 'none'}"
        )
    flags = np.zeros(image.shape, np.uint16) if image.flags is None else image.flags.copy()
    image = replace(image, flags=flags)
    names = [name for name in LEFT_OUT if name in image.flag_bits]
    unusable = np.uint16(sum(int(image.bit(name)) for name in names))
    if readout is not None:
        require_readout(image, readout)
    whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    regions = [whole] if readout is None else [channel.active for channel in readout]
    binned = bin_frame(image.data, flags, unusable, regions)
    count = 0
    if binned.noise > 0:
        refused: list[Candidate] = []
        while count < MOST_TRAILS:
            trail = _next(image, binned, unusable, significance, shortest_pixel, refused)
            if trail is None:
                break
            flag_trail(flags, trail, image.bit("trail"))
            _hide(binned, trail)
            count += 1
        else:
            caveat(f"{MOST_TRAILS} trails are flagged; there may be more")
    metric("trails", count)
    metric("trail_pixels", int(np.count_nonzero(flags & image.bit("trail"))))
    return image


def _next(
    image: Image,
    binned: Binned,
    unusable: np.uint16,
    significance: float,
    shortest_pixel: int,
    refused: list[Candidate],
) -> Trail | None:
    """Return the most significant trail that is left; lines that are none join `refused`."""
    assert image.flags is not None  # noqa: S101 - made by the caller
    shortest = max(2, shortest_pixel // binned.size)
    limit = min(significance, _CANDIDATE_SIGMA)
    unusable = np.uint16(unusable | image.bit("trail"))
    for line in find_lines(binned.signal, limit, shortest):
        if len(refused) >= MOST_REFUSED:
            break
        if any(_near(line, other) for other in refused):
            continue
        trail = _look(image, binned, unusable, line, significance, shortest_pixel)
        if trail is not None:
            return trail
        refused.append(line)
    return None


def _look(
    image: Image,
    binned: Binned,
    unusable: np.uint16,
    line: Candidate,
    significance: float,
    shortest_pixel: int,
) -> Trail | None:
    assert image.flags is not None  # noqa: S101 - made by the caller
    size = binned.size
    start, end = (
        ((x + 0.5) * size - 0.5, (y + 0.5) * size - 0.5) for x, y in (line.start, line.end)
    )
    path = chord(start, end, image.shape)
    if path is None:
        return None
    width = max(6.0, 1.2 * size * line.width)
    return refine(
        image.data,
        image.flags,
        unusable,
        binned,
        path,
        width,
        significance,
        float(shortest_pixel),
    )


def _near(one: Candidate, other: Candidate) -> bool:
    """Return whether two lines are the same but for a few cells at both ends."""
    reach = 4 * max(one.width, other.width)
    return all(
        np.hypot(a[0] - b[0], a[1] - b[1]) < reach
        for a, b in ((one.start, other.start), (one.end, other.end))
    )


def _hide(binned: Binned, trail: Trail) -> None:
    """Set the cells of a trail to zero."""
    rows, columns = binned.signal.shape
    size = binned.size
    t = np.arange(trail.start, trail.end, 0.5 * size)
    x, y = trail.path.points(t)
    reach = trail.half_width + size
    for offset in np.arange(-reach, reach + 0.5 * size, 0.5 * size):
        column = ((x - trail.path.uy * offset) // size).astype(int)
        row = ((y + trail.path.ux * offset) // size).astype(int)
        inside = (row >= 0) & (column >= 0) & (row < rows) & (column < columns)
        binned.signal[row[inside], column[inside]] = 0
