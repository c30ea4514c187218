"""One frame after another through the detector: light in, adu and truth out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from csst_sim.cpic.collection import bloom, collect
from csst_sim.cpic.device import CpicDevice
from csst_sim.cpic.effects import CpicEffects
from csst_sim.cpic.read_out import Converter, row_offsets
from csst_sim.cpic.register import Register, multiply
from csst_sim.cpic.settings import CpicCamera, CpicReadout
from csst_sim.cpic.transfer import transfer_columns, transfer_rows
from csst_sim.effects.cosmic_rays import deposit_cosmic_rays

_FAINTEST_TAIL = 0.05
"""Charge of a tail that truth lists, in read noises."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame and what particles did to it; pixels from 0 in the raw frame."""

    raw: NDArray[np.uint16]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    deposit_electron: NDArray[np.float32]
    """Left by particles, before blooming and transfers."""
    tail_electron: NDArray[np.float32]
    """At the output, left by particles in packets read before."""
    offset_adu: float
    """Mean bias of the frame without its fixed pattern."""


@dataclass(frozen=True, eq=False)
class Exposer:
    """The detector with the settings of one series of frames."""

    device: CpicDevice
    camera: CpicCamera
    readout: CpicReadout
    effects: CpicEffects
    exposure_time_s: float
    commanded_em_gain: float

    @property
    def em_gain(self) -> float:
        """True EM gain."""
        if self.effects.em_gain_error:
            return self.device.em_gain(self.commanded_em_gain)
        return max(1.0, self.commanded_em_gain)

    @property
    def register(self) -> Register:
        """The multiplying register as it is driven."""
        tails = self.effects.register_tails
        return Register(
            em_gain=self.em_gain,
            stages=self.camera.register_stages if self.effects.stage_statistics else None,
            full_well=self.device.register_full_well if tails else np.inf,
            tail_threshold=self.camera.tail_threshold_electron,
            tail_fraction=self.device.tail_fraction if tails else 0.0,
            tail_pixel=self.device.tail_pixel,
            serial_cic=self.device.serial_cic if self.effects.serial_cic else 0.0,
        )

    @property
    def converter(self) -> Converter:
        """Amplifier and converter."""
        device, effects = self.device, self.effects
        linear, square = device.loss(self.em_gain) if effects.nonlinearity else (0.0, 0.0)
        full_well = device.register_full_well
        return Converter(
            pattern=device.fixed_pattern * np.float32(effects.bias_structure),
            linear=linear / full_well,
            square=square / full_well**2,
            read_noise=device.read_noise if effects.read_noise else 0.0,
            gain=device.gain,
        )

    def background(self) -> NDArray[np.float32]:
        """Return the electrons expected in each pixel of the raw frame without light."""
        background = np.zeros(self.readout.raw_shape, np.float32)
        columns = self.readout.active[1]
        if self.effects.cic:
            background[:, columns] += self.device.cic
        if self.effects.dark:
            exposed = self.device.dark.shape[0]
            background[:exposed, columns] += self.device.dark * np.float32(self.exposure_time_s)
        return background

    def light(self, rate: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the electrons per frame that light makes.

        Parameters
        ----------
        rate
            Electrons per second of pixels with mean response, active area.
        """
        seconds = np.float32(self.exposure_time_s)
        return rate * (self.device.flat * seconds if self.effects.flat else seconds)

    def expose(
        self, light: NDArray[np.float32], background: NDArray[np.float32], rng: Generator
    ) -> Frame:
        """Take one frame.

        Parameters
        ----------
        light
            Expected electrons of light, active area.
        background
            Of `background`.
        rng
            Random numbers of this frame.
        """
        photons, particles, moves, gains, noise = rng.spawn(5)
        expected = background.copy()
        expected[self.readout.active] += light
        deposit = self._deposit(particles)
        charge = np.empty_like(expected)
        collect(expected, np.exp(-expected), deposit, photons, charge)
        device = self.device
        if self.effects.blooming and charge.max() > device.pixel_full_well:
            bloom(charge, device.pixel_full_well)
        if self.effects.charge_transfer:
            transfer_rows(charge, device.cti_vertical, device.cti_vertical_pixel, moves)
            transfer_columns(charge, device.cti_horizontal, device.cti_horizontal_pixel, moves)
        part = np.minimum(deposit / np.maximum(charge, 1), 1)
        tail = multiply(charge, part, self.register, gains)
        rows = len(charge)
        offset = np.full(rows, device.bias_level, np.float32)
        if self.effects.bias_structure:
            offset = row_offsets(device, self.camera, rows, noise)
        raw = self.converter.convert(charge, offset, noise)
        row, column = np.nonzero((deposit > 0) | (tail > _FAINTEST_TAIL * device.read_noise))
        return Frame(
            raw, row, column, deposit[row, column], tail[row, column], float(offset.mean())
        )

    def _deposit(self, rng: Generator) -> NDArray[np.float32]:
        """Return whole electrons of cosmic rays in the raw frame."""
        deposit = np.zeros(self.readout.raw_shape, np.float32)
        if self.effects.cosmic_rays:
            seconds = self.exposure_time_s + self.camera.frame_transfer_s
            hit = deposit_cosmic_rays(self.device.dark.shape, seconds, self.device, rng)
            deposit[: hit.shape[0], self.readout.active[1]] = np.rint(hit)
        return deposit
