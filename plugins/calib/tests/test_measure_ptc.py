import astropy.units as u
import numpy as np
import pytest

from csst_calib.figures_ptc import area_changes as draw_area_changes
from csst_calib.figures_ptc import transfer_curves, transfer_residuals
from csst_calib.pair_statistics import pair_statistics
from csst_calib.ptc_fit import area_changes, fit_curve, turn_off
from csst_calib.stages.gain_image import draw_gain_image
from csst_calib.stages.measure_ptc import measure_ptc
from csstcore.api import Image, UnprocessableData
from csstcore.notes import collecting

GAIN, READ_NOISE, A00 = 1.1, 5.0, -1e-6
LEVELS = np.array([2e3, 1e4, 2e4, 3e4, 4e4, 5e4])


def variance_of(mean: np.ndarray) -> np.ndarray:
    """Astier et al. (2019) eq. 16."""
    noise = (READ_NOISE / GAIN) ** 2
    return np.expm1(2 * A00 * GAIN * mean) / (2 * A00 * GAIN**2) + noise


def expose(make_image, rng, readout, electrons, seconds, number=0, drift=0.0) -> Image:
    """Frame in adu; rows share a `drift` (adu, 1 sigma)."""
    light = rng.poisson(electrons, readout.shape) if electrons else np.zeros(readout.shape)
    data = (light + rng.normal(0.0, READ_NOISE, readout.shape)) / GAIN
    rows = rng.normal(0.0, drift, (readout.shape[0], 1))
    return make_image(np.rint(data + rows), u.adu, seconds, obs_id=f"{number:03d}")


@pytest.fixture
def frames(make_image, rng, readout):
    flats = [
        expose(make_image, rng, readout, level, level / 1e4, number)
        for number, level in enumerate(np.repeat(LEVELS, 2))
    ]
    return flats, [expose(make_image, rng, readout, 0.0, 0.0, 99) for _ in range(8)]


def test_model_of_astier_comes_back_exactly() -> None:
    curve = fit_curve(
        LEVELS,
        variance_of(LEVELS),
        np.full(6, 1e6),
        (float(variance_of(np.array([1e-9]))[0]), 0.01),
        np.ones(6, np.bool_),
    )
    assert curve.gain == pytest.approx(GAIN, rel=1e-6)
    assert curve.a00 == pytest.approx(A00, rel=1e-4)
    assert curve.noise * GAIN**2 == pytest.approx(READ_NOISE**2, rel=1e-5)
    assert curve.quadratic_gain != pytest.approx(GAIN, rel=1e-4)
    assert curve.chi_square < 1e-3


def test_errors_of_the_fit_are_those_of_its_scatter(rng) -> None:
    pixels = np.full(6, 2e4)
    true = variance_of(LEVELS)
    dark = float(variance_of(np.array([1e-9]))[0])
    curves = [
        fit_curve(
            LEVELS,
            true * (1 + rng.normal(0, np.sqrt(2 / pixels))),
            pixels,
            (dark * (1 + rng.normal(0, 3e-3)), dark * 3e-3),
            np.ones(6, np.bool_),
        )
        for _ in range(200)
    ]
    for name, value in (("gain", GAIN), ("a00", A00)):
        pull = [(getattr(c, name) - value) / getattr(c, f"{name}_error") for c in curves]
        assert 0.85 < np.std(pull) < 1.15
        assert abs(np.mean(pull)) < 0.3


def test_one_bad_level_is_left_out() -> None:
    variance = variance_of(LEVELS)
    variance[3] *= 1.05
    curve = fit_curve(
        LEVELS, variance, np.full(6, 1e6), (READ_NOISE**2 / GAIN**2, 0.01), np.ones(6, np.bool_)
    )
    assert curve.used.tolist() == [True, True, True, False, True, True]
    assert curve.gain == pytest.approx(GAIN, rel=1e-4)


@pytest.mark.parametrize(
    ("variance", "saturated", "last", "error", "seen"),
    [
        ([1.0, 2.0, 3.0, 4.0], [0, 0, 0, 0], 3, None, False),
        ([1.0, 2.0, 3.0, 1.0], [0, 0, 0, 0], 2, 10.0, True),
        ([1.0, 2.0, 3.0, 3.5], [0, 0, 0.1, 1.0], 1, 5.0, True),
        ([1.0, 2.0, 3.0, np.nan], [0, 0, 0, 1.0], 2, 10.0, True),
    ],
)
def test_turn_off_is_where_the_variance_falls_or_pixels_saturate(
    variance, saturated, last, error, seen
) -> None:
    mean = np.array([10.0, 20.0, 30.0, 50.0])
    found = turn_off(mean, np.array(variance), np.full(4, 0.05), np.array(saturated, float))
    assert (found[0], found[2]) == (last, seen)
    assert np.isnan(found[1]) if error is None else found[1] == error


def test_covariances_are_those_of_a_plain_sum(make_image, readout, rng) -> None:
    noise = [rng.normal(0, 10, readout.shape) for _ in range(2)]
    pair = tuple(make_image(1000.0 + n + 0.3 * np.roll(n, 1, axis=1), u.adu) for n in noise)
    channel = next(iter(readout))
    found = pair_statistics(pair, channel, max_lag=2)
    a, b = (image.data[channel.active].astype(float) for image in pair)
    d = a - b * np.median(a) / np.median(b)
    d -= d.mean()
    rows, columns = d.shape
    for i in range(3):
        for j in range(3):
            right = d[: rows - i, : columns - j] * d[i:, j:]
            left = d[: rows - i, j:] * d[i:, : columns - j]
            both = np.concatenate([right.ravel(), left.ravel()])
            assert found.covariance[i, j] == pytest.approx(both.mean() / 2, rel=1e-3, abs=1e-3)
    assert found.covariance[0, 1] > 0.2 * found.variance


def test_drift_of_rows_is_no_read_noise(make_image, rng, readout) -> None:
    pair = tuple(expose(make_image, rng, readout, 0.0, 0.0, 1, drift=2.0) for _ in range(2))
    found = [pair_statistics(pair, channel, lit=False) for channel in readout]
    expected = (READ_NOISE / GAIN) ** 2 + 1 / 12
    assert np.mean([f.row_variance for f in found]) == pytest.approx(expected, rel=0.02)
    assert np.mean([f.variance for f in found]) > expected + 3.0


def test_gain_noise_and_products_of_a_ramp(frames, readout) -> None:
    with collecting() as notes:
        ptc, gain = measure_ptc(*frames, readout, max_lag=2)
    table = gain.table
    pull = (table["gain"].value - GAIN) / table["gain_error"].value
    assert np.abs(pull).max() < 4
    noise = np.hypot(READ_NOISE, GAIN / np.sqrt(12))
    noise_pull = (table["read_noise"].value - noise) / table["read_noise_error"].value
    assert np.abs(noise_pull).max() < 4
    assert table["read_noise"].value == pytest.approx(noise, rel=0.05)
    assert len(ptc.levels) == len(LEVELS) * readout.channels
    assert ptc.levels["covariance"].shape == (48, 3, 3)
    assert not ptc.fit["turn_off_seen"].any()
    assert "lower limit" in notes.caveats[0]
    assert notes.metrics["combined_frames"] == 20
    assert (notes.metrics["first_obs_id"], notes.metrics["last_obs_id"]) == ("000", "099")
    for draw in (transfer_curves, transfer_residuals, draw_area_changes):
        assert draw(ptc).axes
    image = draw_gain_image(gain, readout)
    for channel, value in zip(readout, table["gain"].value, strict=True):
        assert np.all(image.data[channel.active] == np.float32(value))


def test_few_levels_are_a_caveat(frames, readout) -> None:
    with collecting() as notes:
        ptc, gain = measure_ptc(frames[0][4:6], frames[1], readout, max_lag=1)
    assert "brighter-fatter slope is taken as 0" in notes.caveats[0]
    assert np.all(ptc.fit["a00"].value == 0)
    assert gain.table["gain"].value == pytest.approx(GAIN, rel=0.08)


def test_saturated_levels_are_beyond_the_turn_off(frames, readout) -> None:
    flats, biases = frames
    for image in flats[-2:]:
        image.set_flag("saturated", np.ones(readout.shape, np.bool_))
    ptc, _ = measure_ptc(flats, biases, readout, max_lag=1)
    assert ptc.fit["turn_off_seen"].all()
    well = ptc.fit["full_well"].value / ptc.fit["gain"].value
    assert well == pytest.approx(LEVELS[-2] / GAIN, rel=0.01)
    assert np.all(ptc.levels["used"].reshape(8, 6)[:, -1] == 0)


def test_frames_without_a_partner_are_refused(make_image, readout) -> None:
    flats = [make_image(9.0, u.adu, seconds) for seconds in (1.0, 2.0)]
    with pytest.raises(UnprocessableData, match="2 flat and 2 bias frames; expected at least two"):
        measure_ptc(flats, [make_image(0.0, u.adu, 0.0)] * 2, readout)


def test_flats_without_photon_noise_are_refused(make_image, readout, rng) -> None:
    flats = [make_image(9.0, u.adu) for _ in range(2)]
    biases = [make_image(rng.normal(0, 5, readout.shape), u.adu, 0.0) for _ in range(2)]
    with pytest.raises(UnprocessableData, match=r"channel 1: .* expected photon noise"):
        measure_ptc(flats, biases, readout)


def test_area_changes_are_the_slope_over_the_squared_mean() -> None:
    a = np.array([[0.0, 2e-7], [1e-7, -3e-8]])
    covariance = a * np.square(LEVELS)[:, None, None] + 7.0
    found, error = area_changes(LEVELS, covariance, np.full((6, 2, 2), 3.0))
    assert found == pytest.approx(a, abs=1e-12)
    assert np.all(error > 0)


def test_saturated_flats_alone_are_refused(frames, readout) -> None:
    for image in frames[0]:
        image.set_flag("saturated", np.ones(readout.shape, np.bool_))
    with pytest.raises(UnprocessableData, match="channel 1: every flat frame is saturated"):
        measure_ptc(*frames, readout)
