"""Rates by counting photons, against the truth."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_cpic.register.em_statistics import excess_noise_factor
from csst_cpic.register.serial_charge import serial_rate
from csst_cpic.stages.count_photons import count_photons
from csstcore.api import Image, Meta, NotApplicable, Table, UnprocessableData
from csstcore.notes import collecting

NOISE, STAGES, GAIN = 40.0, 604, 1000.0
RATES = (0.005, 0.02, 0.1, 0.3, 1.0)


def signals(rng, rate, number, serial=0.0, gain=GAIN):
    """Frames of a register of 604 stages with read noise; rate is a plane."""
    spread = excess_noise_factor(gain, STAGES) - 1
    frames = []
    for _ in range(number):
        electrons = rng.poisson(rate)
        data, filled = rng.normal(0, NOISE / gain, rate.shape), electrons > 0
        data[filled] += spread * rng.standard_gamma(electrons[filled] / spread)
        born = rng.random(rate.shape) < serial
        data[born] += rng.exponential(gain ** -rng.random(np.count_nonzero(born)))
        frames.append(frame(data, gain))
    return frames


def frame(data, gain=GAIN):
    meta = Meta(em_gain=gain * u.dimensionless_unscaled, read_noise=NOISE * u.electron)
    return Image(np.asarray(data, np.float32), u.electron, meta=meta)


@pytest.mark.parametrize("rate", RATES)
def test_rates_have_no_bias_and_true_errors(detector, rate):
    """The limit of 0.3 % counts from where the test itself is that sure (3 sigma)."""
    number = 100
    side = 250 if rate < 0.01 else 150
    plane = np.full((side, side), rate)
    counted = count_photons(signals(np.random.default_rng(7), plane, number), detector)
    error = float(np.sqrt(counted.variance.mean() / plane.size))
    assert counted.data.mean() == pytest.approx(rate, abs=0.003 * rate + 3 * error)
    assert error < 0.02 * rate
    pull = (counted.data - rate) / np.sqrt(counted.variance)
    assert 0.95 < np.std(pull) < 1.05


def test_errors_follow_structure_and_hot_pixels(detector):
    y, x = np.indices((120, 120))
    rate = 0.02 + 0.8 * np.exp(-((y - 60) ** 2 + (x - 60) ** 2) / 18)
    rate[::10, ::10] = 1.5
    counted = count_photons(signals(np.random.default_rng(6), rate, 100), detector)
    pull = (counted.data - rate) / np.sqrt(counted.variance)
    for part in (rate == 1.5, (rate > 0.1) & (rate < 1), rate < 0.05):
        assert 0.9 < np.std(pull[part]) < 1.1


def test_charge_made_in_the_register_counts_as_in_a_mean(detector):
    rng = np.random.default_rng(8)
    frames = signals(rng, np.full((150, 150), 0.02), 100, serial=0.02)
    gains = serial_table([9.0, 0.02], 0.002)
    mean = np.mean([each.data.mean() for each in frames])
    counted = count_photons(frames, detector, gains)
    assert counted.data.mean() == pytest.approx(mean, rel=0.01)
    ignored = count_photons(frames, detector)
    assert ignored.data.mean() > 1.03 * mean


def test_an_uncertain_serial_charge_is_not_taken(detector):
    """The histogram of calibration frames knows it to 0.01 electron, of 0.002 that there are."""
    frames = signals(np.random.default_rng(9), np.full((100, 100), 0.005), 100)
    uncertain = serial_table([9.0, 0.0066], 0.01)
    plain, told = (count_photons(frames, detector, gains) for gains in (None, uncertain))
    np.testing.assert_array_equal(told.data, plain.data)
    without_error = Table(QTable({"em_gain": [980.0], "serial_rate": [0.0066] * u.electron}))
    assert serial_rate(without_error, 1000.0) == 0
    assert serial_rate(serial_table([9.0, 0.0066], 0.001), 1000.0) == 0.0066


def serial_table(rates, error):
    return Table(
        QTable(
            {
                "em_gain": [10.0, 980.0],
                "serial_rate": rates * u.electron,
                "serial_rate_error": [error, error] * u.electron,
            }
        )
    )


def test_low_rates_come_out_below_zero_after_what_noise_detects(detector):
    rng = np.random.default_rng(9)
    frames = signals(rng, np.full((100, 100), 0.05), 50)
    counted = count_photons(frames, detector, threshold_noises=2.5)
    assert (counted.data < 0).any()
    assert counted.data.mean() == pytest.approx(0.05, rel=0.03)


def test_hits_are_left_out_frame_by_frame(detector):
    frames = signals(np.random.default_rng(10), np.full((60, 60), 0.1), 60)
    for image in frames[:30]:
        image.data[:20] = 50.0
        image.set_flag("cosmic_ray", np.indices(image.shape)[0] < 20)
    for image in frames:
        image.data[40:42] = np.nan
        image.data[50:52] = 4000.0
        image.set_flag("hot", np.indices(image.shape)[1] == 3)
    with collecting() as notes:
        counted = count_photons(frames, detector)
    assert counted.data[:20].mean() == pytest.approx(0.1, rel=0.1)
    assert counted.variance[:20].mean() > 1.6 * counted.variance[34:40].mean()
    assert np.isnan(counted.data[40:42]).all()
    assert counted.flagged("cosmic_ray").sum() == 120
    assert np.isfinite(counted.data[50:52]).all()
    assert counted.flagged("saturated")[49:53].all()
    assert counted.flagged("hot").sum() == 60
    assert notes.metrics == {"counted_frames": 60, "uncountable_pixels": 360}


def test_what_is_lost_in_one_frame_is_counted_in_the_others(detector):
    frames = signals(np.random.default_rng(10), np.full((60, 60), 0.1), 60)
    frames[0].data[:20] = np.nan
    frames[0].set_flag("bad", np.indices((60, 60))[0] < 20)
    counted = count_photons(frames, detector)
    assert not counted.flagged("bad").any()
    assert counted.data[:20].mean() == pytest.approx(0.1, rel=0.1)


def test_a_single_frame_can_be_counted(detector):
    (image,) = signals(np.random.default_rng(11), np.full((300, 300), 0.05), 1)
    counted = count_photons([image], detector)
    assert np.unique(counted.data).size == 2
    assert np.all(counted.variance > 0)


def test_a_low_gain_cannot_be_counted(detector):
    frames = signals(np.random.default_rng(12), np.ones((8, 8)), 2, gain=200.0)
    with pytest.raises(NotApplicable, match=r"is 200 at a read noise of 40 electron"):
        count_photons(frames, detector)


def test_mixed_gains_and_units_are_refused(detector):
    images = [frame(np.ones((4, 4))), frame(np.ones((4, 4)), 900.0)]
    with pytest.raises(UnprocessableData, match=r"1000 and 900; expected one series"):
        count_photons(images, detector)
    with pytest.raises(UnprocessableData, match=r"in adu; expected electron"):
        count_photons([Image(images[0].data, u.adu, meta=images[0].meta)], detector)


def test_bright_pixels_are_flagged_by_their_surroundings_so_that_none_left_is_biased(detector):
    """Speckles up to 7 electrons: what is not flagged is right at every brightness."""
    y, x = np.indices((240, 240))
    rate = 7 * (np.cos(0.12 * x) * np.cos(0.1 * y)) ** 2 + 0.05
    counted = count_photons(signals(np.random.default_rng(13), rate, 100), detector)
    left = ~counted.flagged("saturated")
    assert left[rate < 1.2].mean() > 0.95
    assert not left[rate > 4.5].any()
    for least, most in ((0.05, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.5)):
        part = left & (rate >= least) & (rate < most)
        if part.sum() < 50:
            continue
        difference = counted.data[part] - rate[part]
        error = np.sqrt(counted.variance[part].mean() / part.sum())
        assert abs(difference.mean()) < 0.003 * rate[part].mean() + 3 * error
