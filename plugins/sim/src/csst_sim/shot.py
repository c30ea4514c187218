"""`Shot`: one exposure of one detector, with everything that is true about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from csst_sim.device import Device
from csst_sim.focal_plane import Placement
from csst_sim.plan import Effects, Exposure, SkySettings
from csst_sim.psf import PsfField
from csst_sim.settings import Filter, Optics, Readout
from csstcore.api import Meta


@dataclass(frozen=True, eq=False)
class Shot:
    """What the stages of the simulation share; made by `sim.set_up`."""

    exposure: Exposure
    effects: Effects
    sky: SkySettings
    readout: Readout
    optics: Optics
    filter: Filter | None
    """None for a slitless detector."""
    device: Device
    placement: Placement
    psf: PsfField
    epoch_year: float
    meta: Meta = field(default_factory=Meta)
