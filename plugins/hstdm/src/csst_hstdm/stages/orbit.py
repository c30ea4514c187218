"""Where the spacecraft was and where it looked in the middle of each dump."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from pydantic import Field

from csst_hstdm.dump_rows import (
    POSITION,
    VELOCITY,
    integers,
    numbers,
    row_flags,
    rows_of,
    seconds,
    states,
    vectors,
)
from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.orbit_interpolation import interpolate_states
from csst_hstdm.pointing_interpolation import interpolate_directions
from csstcore.api import InPlace, Reference, Spectra, TimeTable, UnprocessableData, caveat, metric

Positive = Annotated[float, Field(gt=0)]


def interpolate_orbit(
    dumps: InPlace[Spectra],
    orbit: Reference[TimeTable] | None = None,
    *,
    gap_s: Positive = 300.0,
) -> Spectra:
    """Give each dump the position and velocity of the spacecraft at its middle.

    Dumps that carry their own keep them. The others get those of the orbit; where that has none
    they are flagged ``pointing``, as their velocity is not known.

    Parameters
    ----------
    dumps
        With ``time``, and any of x, y, z (km) and vx, vy, vz (km/s), GCRS.
    orbit
        Columns time, x, y, z, vx, vy, vz in the same frame.
    gap_s
        Samples of the orbit further apart are not joined.

    Raises
    ------
    UnprocessableData
        If the dumps carry no orbit and there is no reference.
    """
    rows = rows_of(dumps)
    position, velocity = vectors(rows, POSITION, u.km), vectors(rows, VELOCITY, u.km / u.s)
    lacking = ~np.isfinite(np.sum(position + velocity, axis=1))
    if orbit is None and len(lacking) and lacking.all():
        raise UnprocessableData("no dump carries its orbit, and there is no reference hstdm.orbit")
    if orbit is not None and lacking.any():
        if len(orbit.table) < 2:
            raise UnprocessableData(f"the orbit has {len(orbit.table)} samples; expected 2 or more")
        position[lacking], velocity[lacking] = interpolate_states(
            seconds(rows)[lacking],
            seconds(orbit.table),
            vectors(orbit.table, POSITION, u.km),
            vectors(orbit.table, VELOCITY, u.km / u.s),
            gap_s=gap_s,
        )
    unknown = ~np.isfinite(np.sum(position + velocity, axis=1))
    for column, (where, what) in enumerate(zip(POSITION, VELOCITY, strict=True)):
        rows[where] = position[:, column] * u.km
        rows[what] = velocity[:, column] * u.km / u.s
    flag = row_flags(rows)
    flag[unknown] |= FLAG_BITS["pointing"]
    rows["flag"] = flag.astype(np.int32)
    if unknown.any():
        caveat(f"{np.sum(unknown)} of {len(unknown)} dumps have no orbit")
    metric("dumps_without_orbit", int(np.sum(unknown)))
    return dumps


def interpolate_pointing(dumps: InPlace[Spectra], *, gap_s: Positive = 5.0) -> Spectra:
    """Give dumps that lost their pointing that of their neighbours in the same scan.

    Dumps of the sky without one after that are flagged ``pointing``. A declination beyond the poles
    is none.

    Parameters
    ----------
    dumps
        With time, state, scan, ra and dec (ICRS).
    gap_s
        Longest gap that is bridged.
    """
    rows = rows_of(dumps)
    ra, dec = numbers(rows, "ra", u.deg), numbers(rows, "dec", u.deg)
    time_s, flag, state = seconds(rows), row_flags(rows), states(rows)
    lost = ~np.isfinite(ra + dec) | (np.abs(dec) > 90)
    ra[lost] = dec[lost] = np.nan
    timed = np.isfinite(time_s) & ((flag & FLAG_BITS["pointing"]) == 0)
    runs = np.stack([np.unique(state, return_inverse=True)[1], integers(rows, "scan")])
    found = 0
    for run in np.unique(runs[:, lost], axis=1).T:
        inside = np.all(run == runs.T, axis=1) & timed
        known, wanted = np.flatnonzero(inside & ~lost), np.flatnonzero(inside & lost)
        if len(known) < 2 or not len(wanted):
            continue
        known = known[np.unique(time_s[known], return_index=True)[1]]
        ra[wanted], dec[wanted] = interpolate_directions(
            time_s[wanted], time_s[known], ra[known], dec[known], gap_s=gap_s
        )
        found += int(np.count_nonzero(np.isfinite(ra[wanted])))
    rows["ra"], rows["dec"] = ra * u.deg, dec * u.deg
    unknown = ~np.isfinite(ra + dec) & ((state == "ON") | (state == "OFF"))
    flag[unknown] |= FLAG_BITS["pointing"]
    rows["flag"] = flag.astype(np.int32)
    if unknown.any():
        caveat(f"{np.sum(unknown)} of {len(unknown)} dumps have no pointing")
    metric("interpolated_pointings", found)
    return dumps
