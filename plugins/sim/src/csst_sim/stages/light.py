"""Adds the sky or the lamp, and exposes the detector."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np

from csst_sim.device import Device, large_scale
from csst_sim.effects.photon_noise import add_photon_noise
from csst_sim.effects.response import apply_response, shutter_times
from csst_sim.shot import Shot
from csstcore.api import Image, InPlace, NotApplicable, replace


def add_sky(image: InPlace[Image], shot: Shot) -> Image:
    """Add the sky of the filter, uniform in electrons per second and pixel.

    Parameters
    ----------
    image
        Electrons per second.
    shot
        The exposure.

    Raises
    ------
    NotApplicable
        If the sky is switched off or the detector has no filter.
    """
    if not shot.effects.sky or shot.filter is None:
        raise NotApplicable("the plan switches the sky off")
    image.data += np.float32(shot.filter.sky_electron_per_s * shot.exposure.throughput)
    return image


def light_lamp(shot: Shot) -> Annotated[Image, "image"]:
    """Make the light of a calibration exposure: the LED of a flat, nothing for others.

    The lamp lights the detector evenly; its level is ``lamp_electron_per_s`` of the plan.

    Parameters
    ----------
    shot
        The exposure.

    Returns
    -------
    image
        Shape (rows, columns), float32, electron/s.
    """
    level = shot.exposure.lamp_electron_per_s if shot.exposure.file_type == "FLAT" else 0.0
    data = np.full((shot.readout.rows, shot.readout.columns), level, np.float32)
    return Image(data, unit=u.electron / u.s, wcs=shot.placement.nominal, meta=shot.meta)


def expose(image: InPlace[Image], shot: Shot, *, rng: np.random.Generator) -> Image:
    """Collect electrons: response, shutter, dark current, photon noise.

    Expected electrons are ``rate R(x, y) t(y) + d(x, y) T`` with the response R (large scale
    times pixels, dead ones included), the open time t of the shutter, the dark current d (with
    hot and warm pixels) and the exposure time T; noise is Poisson's.

    Parameters
    ----------
    image
        Electrons per second of an ideal detector.
    shot
        The exposure.
    rng
        Photon noise.

    Returns
    -------
    image
        Electrons, whole numbers if there is photon noise.
    """
    device, effects, time = shot.device, shot.effects, shot.exposure.exposure_time_s
    rows, columns = image.shape
    lit = shot.exposure.file_type in ("SCIE", "FLAT")
    if lit:
        scale = float(effects.illumination)
        apply_response(
            image.data,
            large_scale(device.illumination[1] * scale, rows),
            large_scale(device.illumination[0] * scale, columns),
            shutter_times(time, device.shutter_s * effects.shutter, rows),
            np.float32(device.prnu * effects.prnu),
            np.uint64(device.pattern_seed),
        )
        if effects.dead_pixels:
            image.data[device.dead_rows, device.dead_columns] *= device.dead_response
    if effects.dark and time > 0:
        _add_dark(image, device, time)
    if effects.photon_noise and (lit or time > 0):
        add_photon_noise(image.data, rng)
    if effects.hot_pixels and time > 0:
        charge = device.bad_dark * np.float32(time)
        if effects.photon_noise:
            charge = rng.poisson(charge).astype(np.float32)
        np.add.at(image.data, (device.bad_rows, device.bad_columns), charge)
    return replace(image, unit=u.electron)


def _add_dark(image: Image, device: Device, time_s: float) -> None:
    """Add dark current that rises along the columns."""
    along = np.linspace(-1.0, 1.0, image.shape[0])
    level = device.dark * time_s * (1.0 + device.dark_gradient * along)
    image.data += level.astype(np.float32)[:, None]
