"""What happens to charge between collection and the amplifier."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np

from csst_sim.effects.brighter_fatter import redistribute
from csst_sim.effects.charge_transfer import to_raw_format, transfer_channels
from csst_sim.effects.cosmic_rays import deposit_cosmic_rays
from csst_sim.effects.saturation import bleed
from csst_sim.shot import Shot
from csstcore.api import Image, InPlace, NotApplicable, metric, replace

AFFECTED_ELECTRON = 3.0
"""Electrons from which a pixel counts as hit by a cosmic ray."""


def apply_brighter_fatter(image: InPlace[Image], shot: Shot) -> Image:
    """Let collected charge repel the charge that comes (brighter-fatter effect).

    Small shifts of the boundaries of pixels in proportion to differences of charge
    (Antilogus et al. 2014); charge is conserved.

    Parameters
    ----------
    image
        Electrons with photon noise, so that flat fields get correlated noise.
    shot
        The exposure.

    Raises
    ------
    NotApplicable
        If switched off, or without light.
    """
    if not shot.effects.brighter_fatter or shot.exposure.file_type in ("BIAS", "DARK"):
        raise NotApplicable("no light, or the plan switches the brighter-fatter effect off")
    device = shot.device
    redistribute(image.data, np.float32(device.brighter_fatter), np.float32(device.full_well))
    return image


def add_cosmic_rays(
    image: InPlace[Image], shot: Shot, *, rng: np.random.Generator
) -> tuple[Annotated[Image, "image"], Annotated[Image, "cosmic_rays"]]:
    """Add the charge of cosmic rays.

    Tracks of minimum-ionising particles, curling electrons and nuclei through the silicon, with
    Landau's straggling and diffusion by depth; rate, thickness and diffusion are the detector's.

    Parameters
    ----------
    image
        Electrons.
    shot
        The exposure; its duration gives the number of particles.
    rng
        Particles.

    Returns
    -------
    image
        Electrons.
    cosmic_rays
        The electrons added, shape (rows, columns), float32; zero where nothing fell or if
        switched off. Metric ``cosmic_ray_pixels``: pixels with more than 3 electrons.
    """
    if not shot.effects.cosmic_rays or shot.exposure.exposure_time_s <= 0:
        deposit = np.zeros(image.shape, np.float32)
    else:
        time = shot.exposure.exposure_time_s
        deposit = deposit_cosmic_rays(image.shape, time, shot.device, rng)
        image.data += deposit
    metric("cosmic_ray_pixels", int(np.count_nonzero(deposit > AFFECTED_ELECTRON)))
    truth = Image(deposit, unit=u.electron, wcs=image.wcs, meta=image.meta)
    return image, truth


def saturate(image: InPlace[Image], shot: Shot) -> Image:
    """Cut charge at the full well; the rest bleeds along columns.

    Parameters
    ----------
    image
        Electrons.
    shot
        The exposure.

    Raises
    ------
    NotApplicable
        If switched off.
    """
    if not shot.effects.saturation:
        raise NotApplicable("the plan switches saturation off")
    bleed(image.data, shot.device.full_well)
    return image


def transfer(image: Image, shot: Shot) -> Annotated[Image, "transferred"]:
    """Shift charge to the amplifiers of the 16 channels, past traps.

    Each channel reads towards its corner of the frame. Traps met in parallel and then in serial
    transfers leave trails behind packets, also in the overscan; see
    `csst_sim.effects.charge_transfer`.

    Parameters
    ----------
    image
        Electrons of the active area.
    shot
        The exposure.

    Returns
    -------
    transferred
        Electrons in the raw format, with empty prescan and overscan but for trails.
    """
    raw = to_raw_format(image.data, shot.readout)
    if shot.effects.charge_transfer and shot.exposure.file_type != "BIAS":
        transfer_channels(raw, shot.readout, shot.device)
    return replace(image, data=raw)
