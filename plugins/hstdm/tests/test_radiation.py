"""Radiation temperatures, the radiometer equation and the receiver's numbers."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np
import pytest
from pydantic import TypeAdapter

from csst_hstdm.radiation import callen_welton, rayleigh_jeans
from csst_hstdm.radiometer import difference_noise, off_time, on_time, total_power_noise
from csst_hstdm.receiver import Receiver, image_frequency_hz, intermediate_frequency_hz


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    text = files("csst_hstdm").joinpath("references/receiver_proposed.toml").read_text()
    return TypeAdapter(Receiver).validate_python(tomllib.loads(text))


def test_rayleigh_jeans_temperatures_at_460_ghz() -> None:
    expected = {300.0: 289.10, 77.0: 66.49, 20.0: 10.95, 2.725: 0.007}
    found = rayleigh_jeans(list(expected), 460e9)
    assert found == pytest.approx(list(expected.values()), abs=0.006)


def test_the_zero_point_is_half_a_photon_and_all_that_is_left_of_cold() -> None:
    half_photon = 11.81  # kelvin at 492 GHz
    assert callen_welton(0.0, 492e9) == pytest.approx(half_photon, abs=0.01)
    difference = callen_welton([4.0, 300.0], 492e9) - rayleigh_jeans([4.0, 300.0], 492e9)
    assert difference == pytest.approx(half_photon, abs=0.01)
    # the first correction to T is (h nu / k T)^2 / 12
    assert callen_welton(300.0, 492e9) == pytest.approx(300 * (1 + (23.612 / 300) ** 2 / 12))


def test_noise_of_ten_minutes_on_and_off() -> None:
    # 300 K, 73.24 kHz, 600 s each: 64 mK
    assert difference_noise(300.0, 73242.1875, 600.0, 600.0) == pytest.approx(0.0640, abs=2e-4)


@pytest.mark.parametrize("on_per_off", [1, 4, 25])
def test_on_time_is_the_inverse_of_the_noise(on_per_off: int) -> None:
    time = on_time(0.05, 250.0, 1e6, on_per_off=on_per_off, efficiency=0.9)
    shared = off_time(time, on_per_off)
    assert difference_noise(250.0, 1e6, time, shared, efficiency=0.9) == pytest.approx(0.05)


def test_no_time_gives_infinite_noise() -> None:
    assert np.isinf(total_power_noise(300.0, 1e5, 0.0))


def test_receiver_as_documented(receiver: Receiver) -> None:
    assert receiver.channel_width_hz == pytest.approx(73242.1875)
    assert receiver.if_high_hz - receiver.if_low_hz == pytest.approx(receiver.bandwidth_hz)
    # 1.2 lambda / D with 2 m
    beams = receiver.beam_fwhm_arcsec([410e9, 460e9, 510e9])
    assert beams == pytest.approx([90.5, 80.7, 72.7], abs=0.1)


def test_sidebands_mirror_at_the_local_oscillator() -> None:
    signal = np.array([492.0e9, 492.5e9])
    image = image_frequency_hz(signal, 487.5e9)
    assert image == pytest.approx([483.0e9, 482.5e9])
    for side in (signal, image):
        assert intermediate_frequency_hz(side, 487.5e9) == pytest.approx([4.5e9, 5.0e9])
