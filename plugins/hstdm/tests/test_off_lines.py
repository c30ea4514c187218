"""Lines in OFFs are found at every width; standing waves and noise are none."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_hstdm.averages import average_blocks
from csst_hstdm.off_lines import line_channels, lines_of_offs, off_shifts

CHANNELS, NOISE, WAVE = 16384, 0.15, 1366.0


def spectrum(seed, channels=CHANNELS):
    """Noise of an OFF of ten seconds, and standing waves of 92 and 31 MHz."""
    rng = np.random.default_rng(seed)
    channel = np.arange(channels)
    waves = 0.15 * np.cos(channel / 1256 * 2 * np.pi + rng.uniform(0, 6))
    waves += 0.08 * np.cos(channel / 423 * 2 * np.pi + rng.uniform(0, 6))
    return 20 + 1e-5 * channel + waves + NOISE * rng.standard_normal(channels)


def line(fwhm, peak, centre=0.47):
    channel = np.arange(CHANNELS) - centre * CHANNELS
    return peak * np.exp(-4 * np.log(2) * (channel / fwhm) ** 2)


@pytest.mark.parametrize(
    ("fwhm", "peak"),
    [(4, 1.0), (8, 0.7), (70, 0.45), (700, 0.45), (2000, 0.8), (4500, 0.8), (6500, 1.6)],
)
def test_a_line_of_any_width(fwhm, peak):
    """Peaks of 1 K are 2.5 K of the main beam, three times the noise of a dump of a second."""
    found = 0
    for seed in range(6):
        lines = line_channels(spectrum(seed) + line(fwhm, peak), NOISE, 6.0, WAVE)
        here = np.abs(np.arange(CHANNELS) - 0.47 * CHANNELS) < fwhm / 4
        found += bool(np.all(lines[here]))
        assert not np.any(lines[: int(0.47 * CHANNELS - 6 * fwhm - 600)] if fwhm < 500 else [])
    assert found == 6


@pytest.mark.parametrize("channels", [64, 256, 1024, 4096, CHANNELS])
def test_waves_and_noise_are_no_lines(channels):
    for seed in range(12 if channels > 1024 else 400):
        assert not np.any(line_channels(spectrum(seed, channels), NOISE, 6.0, WAVE)), seed


def test_faint_lines_of_one_position_are_found_together():
    rng = np.random.default_rng(3)
    shifts = np.stack([np.arange(0, 160, 8), np.repeat([0, 10], 10)], axis=1)
    planes = []
    for shift, position in shifts:
        plane = 20 + NOISE * rng.standard_normal(1024)
        if position == 0:
            plane += np.roll(0.3 * np.exp(-0.5 * ((np.arange(1024) - 400) / 3) ** 2), shift)
        planes.append(plane)
    together = lines_of_offs(planes, np.full(20, NOISE), shifts, 6.0, longest_wave=WAVE)
    for k, lines in enumerate(together):
        here = np.abs(np.arange(1024) - 400 - shifts[k, 0]) < 3
        assert np.all(lines[here]) == (k < 10)
        assert not np.any(lines[:300])
    still = lines_of_offs(planes, np.full(20, NOISE), 0 * shifts, 6.0, longest_wave=WAVE)
    assert not all(np.any(lines) for lines in still[:10])


def test_shifts_of_offs_follow_the_orbit(make_sky, receiver):
    time_s = 300.0 * np.arange(8)
    dumps = make_sky(channels=256).dumps(["OFF"] * 8, time_s, 1.0)
    dumps.rows["dec"][6:] = -6.0 * u.deg
    offs = average_blocks([dumps], ("OFF",), gap_s=30.0, tuning_range_hz=5e7)
    shifts = off_shifts([dumps], offs, receiver)
    assert np.ptp(shifts[:, 0]) > 100
    assert shifts[:, 1].tolist() == [0] * 6 + [6] * 2
    lost = dumps.rows.copy()
    lost.remove_columns(["ra", "dec"])
    dumps.rows = QTable(lost)
    assert not np.any(off_shifts([dumps], offs, receiver))
