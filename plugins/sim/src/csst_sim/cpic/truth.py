"""What is true about the frames of one file."""

from __future__ import annotations

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.time import TimeDelta
from numpy.typing import NDArray

from csst_sim.cpic.exposure import Exposer
from csst_sim.cpic.session import CpicSession
from csstcore.api import Meta, NotApplicable, Table


@dataclass(slots=True, eq=False)
class CpicTruth:
    """Light and camera as they really are; planes are float32 of the active area."""

    rate: NDArray[np.float32]
    """Mean light of all frames, electrons per second of pixels with mean response."""
    flat: NDArray[np.float32]
    dark: NDArray[np.float32]
    """Electrons per second."""
    cic: NDArray[np.float32]
    """Electrons per frame, born in parallel clocking."""
    em_gain: float
    """True one; `meta` has the commanded one."""
    gain: float
    """Electrons per adu at the output."""
    read_noise: float
    bias_level: float
    serial_cic: float
    nonlinearity: float
    """Relative loss at the register's full well, linear in the charge, at this EM gain."""
    nonlinearity_square: float
    """And with the square of the charge."""
    register_full_well: float
    pixel_full_well: float
    cti_vertical: float
    cti_vertical_pixel: float
    cti_horizontal: float
    cti_horizontal_pixel: float
    tail_fraction: float
    tail_pixel: float
    star_rate: float
    """Electrons per second of the star beside the mask, without attenuation."""
    background: float
    """Electrons per second of sky and stray light, part of `rate`."""
    fwhm_pixel: float
    """Of a star's image."""
    meta: Meta = field(default_factory=Meta)


def gather_truth(session: CpicSession, rate: NDArray[np.float32]) -> CpicTruth:
    """Return what is true about an observation, effects that are off being absent.

    Parameters
    ----------
    session
        The observation.
    rate
        Mean light of its frames.
    """
    exposer: Exposer = session.exposer
    device, effects, readout = exposer.device, exposer.effects, exposer.readout
    rows = readout.active[0]
    linear, square = device.loss(exposer.em_gain) if effects.nonlinearity else (0.0, 0.0)
    moves, tails = effects.charge_transfer, effects.register_tails
    return CpicTruth(
        rate=rate,
        flat=device.flat if effects.flat else np.ones_like(device.flat),
        dark=device.dark[rows] * np.float32(effects.dark),
        cic=device.cic[rows] * np.float32(effects.cic),
        em_gain=exposer.em_gain,
        gain=device.gain,
        read_noise=device.read_noise * effects.read_noise,
        bias_level=device.bias_level,
        serial_cic=device.serial_cic * effects.serial_cic,
        nonlinearity=linear,
        nonlinearity_square=square,
        register_full_well=device.register_full_well,
        pixel_full_well=device.pixel_full_well,
        cti_vertical=device.cti_vertical * moves,
        cti_vertical_pixel=device.cti_vertical_pixel,
        cti_horizontal=device.cti_horizontal * moves,
        cti_horizontal_pixel=device.cti_horizontal_pixel,
        tail_fraction=device.tail_fraction * tails,
        tail_pixel=device.tail_pixel,
        star_rate=session.star_electron_per_s,
        background=session.background_electron_per_s if session.star else 0.0,
        fwhm_pixel=session.coronagraph.pupil.fwhm_pixel,
        meta=session.meta,
    )


def frame_table(session: CpicSession, offset_adu: NDArray[np.float64]) -> Table:
    """Return time, bias and position of the star (1-based, active area) of every frame."""
    number = np.arange(session.observation.frames)
    place = np.array(session.centre) + session.offset_pixel + 1
    if session.star is None:
        place = np.full_like(place, np.nan)
    start = session.meta.time
    assert start is not None  # noqa: S101 - made by set_up_cpic
    table = QTable({"frame": number.astype(np.int32)})
    table["time"] = start + TimeDelta(number * session.interval_s, format="sec")
    table["x"], table["y"] = place[:, 0], place[:, 1]
    table["bias"] = offset_adu * u.adu
    return Table(table, session.meta)


def planet_table(session: CpicSession) -> Table:
    """Return the planets of a star, with their mean positions in the file (1-based).

    Raises
    ------
    NotApplicable
        If there is no planet.
    """
    if session.star is None or not session.star.planet:
        raise NotApplicable("the observation has no planet")
    planets = session.star.planet
    offsets = np.array(session.planets())
    place = np.array(session.centre) + session.offset_pixel.mean(axis=0) + offsets[:, :2] + 1
    table = QTable(
        {
            "separation": [each.separation_mas for each in planets] * u.mas,
            "position_angle": [each.position_angle_deg for each in planets] * u.deg,
            "contrast": np.array([each.contrast for each in planets]),
            "x": place[:, 0],
            "y": place[:, 1],
            "rate": offsets[:, 2] * u.electron / u.s,
        }
    )
    return Table(table, session.meta)
