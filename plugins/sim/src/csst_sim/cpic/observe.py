"""Takes the frames of a coronagraph observation, and records what is true about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from astropy.wcs import WCS
from numpy.random import Generator

from csst_sim.cpic.pupil import Field
from csst_sim.cpic.series import take_series
from csst_sim.cpic.session import CpicSession
from csst_sim.cpic.truth import CpicTruth, frame_table, gather_truth, planet_table
from csstcore.api import Image, Table, metric, replace


def observe_cpic(
    session: CpicSession, *, rng: Generator
) -> tuple[
    Annotated[Sequence[Image], "frames"],
    Annotated[CpicTruth, "truth"],
    Annotated[Table, "frame_truth"],
    Annotated[Table, "hit_truth"],
]:
    """Take the frames of one coronagraph observation.

    Light, dark current and clock-induced charge make Poisson numbers of electrons; cosmic rays
    add theirs. Charge blooms, is left behind in transfers, is multiplied with the statistics
    of a register of stages, spills and trails behind large packets, and is converted with
    non-linearity, read noise, and a bias that drifts along the rows.

    Parameters
    ----------
    session
        The observation.
    rng
        Shot noise, cosmic rays, multiplication, read noise and the bias of each frame.

    Returns
    -------
    frames
        Level 0: frames in adu, uint16.
    truth
        Mean light, camera and gains.
    frame_truth
        Time, position of the star and bias of each frame.
    hit_truth
        Pixels that cosmic rays and their tails touched.
    """
    total = np.zeros(session.shape)

    def rates() -> Iterator[Field]:
        for rate in session.rates():
            np.add(total, rate, out=total)
            yield rate

    series = take_series(session.exposer, rates(), session.meta, rng)
    wcs = _wcs(session) if session.star else None
    frames = [replace(image, wcs=wcs) for image in series.frames]
    rows, columns = session.shape
    metric("data_section", f"{columns}x{rows}")
    mean = (total / session.observation.frames).astype(np.float32)
    truth = gather_truth(session, mean)
    return frames, truth, frame_table(session, series.offset_adu), series.hit_truth


def record_planets(session: CpicSession) -> Annotated[Table, "planet_truth"]:
    """List the true planets of an observation.

    Parameters
    ----------
    session
        The observation.

    Raises
    ------
    NotApplicable
        If it has no planet.
    """
    return planet_table(session)


def _wcs(session: CpicSession) -> WCS:
    """Return the commanded coordinates of the raw frame, east to the left of north."""
    observation, readout, star = session.observation, session.exposer.readout, session.star
    assert star is not None  # noqa: S101 - the caller has asked
    angle = np.radians(observation.position_angle_deg)
    scale = session.optics.pixel_scale_arcsec / 3600
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [star.ra_deg, star.dec_deg]
    rows, columns = readout.active
    wcs.wcs.crpix = [
        columns.start + session.centre[0] + 1,
        rows.start + session.centre[1] + 1,
    ]
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    wcs.wcs.cd = [[-cos, sin], [sin, cos]]
    return wcs
