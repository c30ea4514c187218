"""A simulated detector that takes calibration frames, of any size.

The simulator shares no code with the stages that are tested; its settings are the truth.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from csst_calib.readout import Readout
from csst_calib.stages.gain import apply_gain
from csst_calib.stages.overscan import subtract_overscan
from csst_sim.device import Device, draw_device, large_scale
from csst_sim.direct import shipped
from csst_sim.effects.response import apply_response
from csst_sim.plan import Exposure, Plan
from csst_sim.settings import DetectorRanges, Optics
from csst_sim.settings import Readout as SimulatedReadout
from csst_sim.shot import Shot
from csst_sim.stages.charge import add_cosmic_rays, apply_brighter_fatter, saturate, transfer
from csst_sim.stages.light import expose, light_lamp
from csst_sim.stages.read_out import read_out
from csst_sim.stages.set_up import set_up
from csstcore.api import Image, NotApplicable, Table

LAMP_ELECTRON_PER_S = 1500.0


@dataclass
class Camera:
    """One detector, with frames numbered as they are taken."""

    detector: int = 8
    seed: int = 3
    channel_rows: int = 288
    channel_columns: int = 72
    effects: dict[str, bool] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.simulated: SimulatedReadout = replace(
            shipped("readout_920x608.toml", SimulatedReadout),
            channel_rows=self.channel_rows,
            channel_columns=self.channel_columns,
        )
        self.ranges: DetectorRanges = shipped("msc_detector_ranges.toml", DetectorRanges)
        self.optics: Optics = shipped("msc_optics.toml", Optics)
        self.device: Device = draw_device(self.detector, self.ranges, self.simulated, self.seed)
        shared = ["channel_rows", "channel_columns", "channels_x", "channels_y"]
        shared += ["prescan_columns", "overscan_columns", "overscan_rows"]
        values = asdict(self.simulated)
        self.readout = Readout(
            **{name: values[name] for name in shared},
            corners=("lower_left",) * 8 + ("upper_left",) * 8,
        )

    def shot(self, kind: str, seconds: float, lamp: float) -> Shot:
        """Plan the next exposure."""
        obs_id = f"101{next(self._numbers):08d}"
        exposure = Exposure(
            obs_id=obs_id,
            time="2027-08-01T00:00:00",
            file_type=kind,  # type: ignore[arg-type]
            exposure_time_s=seconds,
            lamp_electron_per_s=lamp,
            detectors=(self.detector,),
            effects=self.effects,
        )
        plan = Plan("toolkit", "calibration", (exposure,), instrument_seed=self.seed)
        return set_up(
            plan, self.simulated, self.ranges, self.optics, obs_id=obs_id, detector=self.detector
        )

    def raw(self, kind: str, seconds: float = 0.0, lamp: float = LAMP_ELECTRON_PER_S) -> Image:
        """Take a raw frame."""
        shot = self.shot(kind, seconds, lamp)
        streams = np.random.default_rng([self.seed, int(shot.exposure.obs_id)]).spawn(3)
        image = expose(light_lamp(shot), shot, rng=streams[0])
        for stage in (apply_brighter_fatter, None, saturate):
            try:
                if stage is None:
                    image, _ = add_cosmic_rays(image, shot, rng=streams[1])
                else:
                    image = stage(image, shot)
            except NotApplicable:
                continue
        return read_out(transfer(image, shot), shot, rng=streams[2])[0]

    def frame(self, kind: str, seconds: float = 0.0, lamp: float = LAMP_ELECTRON_PER_S) -> Image:
        """Take a frame without its overscan level, in adu."""
        return subtract_overscan(self.raw(kind, seconds, lamp), self.readout)

    def electrons(
        self, kind: str, seconds: float, gain: Table | None = None, lamp: float = 1500.0
    ) -> Image:
        """Take a frame without its overscan level, in electrons."""
        return apply_gain(self.frame(kind, seconds, lamp), self.readout, gain)

    @property
    def response(self) -> NDArray[np.float32]:
        """True response of every pixel."""
        device, shape = self.device, self.readout.shape
        response = np.ones(shape, np.float32)
        apply_response(
            response,
            large_scale(device.illumination[1], shape[0]),
            large_scale(device.illumination[0], shape[1]),
            np.ones(shape[0], np.float32),
            np.float32(device.prnu),
            np.uint64(device.pattern_seed),
        )
        response[device.dead_rows, device.dead_columns] *= device.dead_response
        return response

    @property
    def dark(self) -> NDArray[np.float64]:
        """True dark current of every pixel, electron/s."""
        device, shape = self.device, self.readout.shape
        along = 1 + device.dark_gradient * np.linspace(-1, 1, shape[0])
        dark = np.broadcast_to((device.dark * along)[:, None], shape).copy()
        np.add.at(dark, (device.bad_rows, device.bad_columns), device.bad_dark)
        return dark
