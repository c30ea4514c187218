"""References made from simulated frames against the truth of the simulator.

Its brighter-fatter effect and its traps follow other models than those that are fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.typing import NDArray

from csst_calib.ptc import Ptc
from csst_calib.stages.bias import subtract_bias
from csst_calib.stages.combine import combine
from csst_calib.stages.dark import subtract_dark
from csst_calib.stages.find_bad_pixels import find_bad_pixels
from csst_calib.stages.measure_dark import measure_dark
from csst_calib.stages.measure_nonlinearity import measure_nonlinearity
from csst_calib.stages.measure_ptc import measure_ptc
from csst_calib.stages.measure_shutter import measure_shutter
from csst_calib.stages.nonlinearity import correct_nonlinearity
from csst_calib.stages.normalise_flat import normalise_flat
from csst_calib.stages.shutter import correct_shutter
from csst_calib.stages.variance import estimate_variance
from csstcore.api import Image, Meta, Table

from .camera import Camera

RAMP_S = np.linspace(2.0, 48.0, 12)
CONVERTER_ELECTRON = 64_000 * 1.07
"""What the converter can hold above its bias; less than the full well of the pixels."""


def transfer(camera: Camera, pairs: int, biases: int) -> tuple[Ptc, Table]:
    flats = [camera.frame("FLAT", float(s)) for s in RAMP_S for _ in range(2 * pairs)]
    return measure_ptc(flats, [camera.frame("BIAS") for _ in range(biases)], camera.readout)


def relative(found: u.Quantity, true: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(found.value / true - 1)


def true_read_noise(camera: Camera) -> NDArray[np.float64]:
    """Noise of the amplifier and of the converter's steps, electron."""
    return np.sqrt(camera.device.read_noise**2 + camera.device.gain**2 / 12)


@dataclass
class Made:
    """Everything that a detector's frames give, with the true gain."""

    camera: Camera

    def __post_init__(self) -> None:
        camera, device = self.camera, self.camera.device
        gain = QTable({"gain": device.gain * u.electron / u.adu})
        gain["read_noise"] = true_read_noise(camera) * u.electron
        self.gain = Table(gain)
        biases = [camera.electrons("BIAS", 0.0, self.gain) for _ in range(16)]
        self.bias = combine(
            [estimate_variance(image, camera.readout, photon_noise=False) for image in biases]
        )
        self.darks = [camera.electrons("DARK", t, self.gain) for t in (100.0, 300.0, 600.0, 900.0)]
        self.darks += [camera.electrons("DARK", 900.0, self.gain) for _ in range(4)]
        self.dark = measure_dark(self.darks, self.bias, camera.readout)
        self.nonlinearity = measure_nonlinearity(
            [self.unbiased(float(s)) for s in RAMP_S for _ in range(2)], camera.readout
        )
        short, long = [0.5] * 6 + [1.0] * 6, [10.0] * 3 + [30.0] * 3
        self.shutter = measure_shutter([self.linear(s) for s in short + long])
        flats = [self._flat(30.0) for _ in range(8)]
        self.flat = normalise_flat(combine(flats, weighted=True), camera.readout)

    def unbiased(self, seconds: float) -> Image:
        return subtract_bias(self.camera.electrons("FLAT", seconds, self.gain), self.bias)

    def linear(self, seconds: float) -> Image:
        image = correct_nonlinearity(self.unbiased(seconds), self.camera.readout, self.nonlinearity)
        return subtract_dark(image, self.dark)

    def _flat(self, seconds: float) -> Image:
        image = estimate_variance(self.linear(seconds), self.camera.readout)
        return normalise_flat(correct_shutter(image, self.shutter), self.camera.readout)


@pytest.fixture(scope="module")
def made() -> Made:
    return Made(Camera())


@pytest.fixture(scope="module")
def small() -> tuple[Camera, Ptc, Table]:
    camera = Camera()
    return camera, *transfer(camera, 2, 20)


def test_gain_is_right_within_its_error(small: tuple[Camera, Ptc, Table]) -> None:
    camera, _, gain = small
    error = gain.table["gain_error"].value / camera.device.gain
    pull = relative(gain.table["gain"], camera.device.gain) / error
    assert error.max() < 0.005
    assert np.abs(pull).max() < 4.0
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))


def test_read_noise_is_right_within_1_percent(small: tuple[Camera, Ptc, Table]) -> None:
    """No offset: neither the drift of the bias nor the converter's steps are left over."""
    camera, _, gain = small
    error = relative(gain.table["read_noise"], true_read_noise(camera))
    expected = gain.table["read_noise_error"].value / gain.table["read_noise"].value
    assert np.abs(error / expected).max() < 4.0
    assert abs(error.mean()) < 0.003


@pytest.mark.slow
def test_gain_is_right_within_3_and_read_noise_within_10_per_mille() -> None:
    """A sixteenth of the full frame, of which 96 flats give 0.08 % per channel."""
    camera = Camera(channel_rows=1152, channel_columns=288)
    ptc, gain = transfer(camera, 4, 12)
    assert np.abs(relative(gain.table["gain"], camera.device.gain)).max() < 0.003
    assert np.abs(relative(gain.table["read_noise"], camera.device.read_noise)).max() < 0.01
    # The variance that the boundaries' shifts and the amplifiers' curvature take.
    curvature = 3 * camera.device.nonlinearity / camera.device.full_well
    true = -2.6 * camera.device.brighter_fatter - curvature
    pull = (ptc.fit["a00"].value - true) / ptc.fit["a00_error"].value
    assert np.abs(pull).max() < 5.0


def test_neighbours_change_a_pixels_area_as_simulated(small: tuple[Camera, Ptc, Table]) -> None:
    """A boundary moves by s (V_p - V_r): to first order the correlation of close neighbours."""
    camera, ptc, _ = small
    a, error = (np.mean(ptc.fit[name].value, axis=0) for name in ("a", "a_error"))
    error /= np.sqrt(len(ptc.fit))
    far = a[3:, 3:] / error[3:, 3:]
    assert np.abs(far).max() < 4.0
    assert a[0, 0] < -20 * error[0, 0] / 4
    ring = 2 * a[0, 1:3].sum() + 2 * a[1:3, 0].sum() + 4 * a[1:3, 1:3].sum()
    spread = np.sqrt(np.sum(np.square(error[:3, :3])) * 16)
    assert ring == pytest.approx(2.6 * camera.device.brighter_fatter, abs=4 * spread)


def test_converter_limits_the_full_well(small: tuple[Camera, Ptc, Table]) -> None:
    _, ptc, _ = small
    well = ptc.fit["full_well"].value
    assert np.all((well > 0.85 * CONVERTER_ELECTRON) & (well < 1.1 * CONVERTER_ELECTRON))


def test_dark_is_right_within_its_errors(made: Made) -> None:
    pull = (made.dark.data - made.camera.dark) / np.sqrt(made.dark.variance)
    assert abs(pull.mean()) < 0.05
    assert 0.97 < pull.std() < 1.03
    assert np.mean(np.abs(pull) > 2) < 0.055
    hot = made.camera.dark > 0.2
    assert hot.sum() > 20
    assert np.abs(pull[hot]).max() < 5.0


def test_response_is_linear_to_90_percent_of_full_well(made: Made) -> None:
    device, readout = made.camera.device, made.camera.readout
    true = np.linspace(500.0, 0.9 * CONVERTER_ELECTRON, 60)
    for channel in readout:
        data = np.zeros(readout.shape, np.float32)
        loss = device.nonlinearity[channel.index] / device.full_well
        data[channel.active][0, :60] = true * (1 - loss * true)
        image = correct_nonlinearity(
            Image(data, u.electron, meta=Meta()), readout, made.nonlinearity
        )
        assert image.data[channel.active][0, :60] / true == pytest.approx(1.0, abs=1e-3)
    assert np.all(made.nonlinearity.table["residual"] < 1e-3)


def test_shutter_map_is_that_of_the_blade(made: Made) -> None:
    y = np.linspace(-1, 1, made.camera.readout.shape[0])[:, None]
    error = made.shutter.data - made.camera.device.shutter_s * (0.5 - 1.5 * y**2)
    assert np.abs(error).max() < 0.2 * made.camera.device.shutter_s
    assert error.std() < 0.03 * made.camera.device.shutter_s


def test_flat_scatters_by_its_photon_noise(made: Made) -> None:
    response = made.camera.response
    good = (response > 0.5) & (made.flat.flags == 0)
    error = (made.flat.data - response / response[good].mean())[good]
    limit = np.sqrt(np.mean(1 / (8 * 30.0 * 1500.0 * response[good])))
    assert 0.9 < error.std() / limit < 1.1
    assert made.flat.data[good].mean() == pytest.approx(1.0, abs=3e-4)


def test_bad_pixels_are_the_true_ones_and_pieces_of_their_columns(made: Made) -> None:
    device, readout = made.camera.device, made.camera.readout
    mask = find_bad_pixels(made.darks, made.flat, made.dark, made.bias, readout)
    true = made.camera.response < 0.48
    found = mask.flagged("bad")
    assert found[true].all()
    columns = np.zeros(readout.shape, np.bool_)
    columns[:, device.dead_columns] = True
    assert np.count_nonzero(found & ~columns & (made.camera.response > 0.52)) == 0
    limit = np.median(device.read_noise) ** 2 / 150.0
    hot = mask.flagged("hot")
    assert hot[made.camera.dark > 1.2 * limit].all()
    assert not hot[made.camera.dark < 0.8 * limit].any()
