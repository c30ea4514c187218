"""Effects of the coronagraph's EMCCD, each against its theory."""

from __future__ import annotations

from dataclasses import asdict

import astropy.units as u
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from csst_sim.cpic.collection import bloom, collect
from csst_sim.cpic.device import draw_device
from csst_sim.cpic.direct import SimulatedFrames, simulate_frames
from csst_sim.cpic.effects import CpicEffects
from csst_sim.cpic.register import Register, multiply
from csst_sim.cpic.series import hit_mask
from csst_sim.cpic.settings import CpicCamera, CpicReadout
from csst_sim.cpic.transfer import transfer_columns, transfer_rows
from csst_sim.direct import shipped

STAGES = 604


def effects(*names: str) -> CpicEffects:
    """Only the effects that are named."""
    return CpicEffects(**{key: key in names for key in asdict(CpicEffects())})


def register(em_gain: float, **changes: object) -> Register:
    values = {
        "em_gain": em_gain,
        "stages": STAGES,
        "full_well": np.inf,
        "tail_threshold": 2e4,
        "tail_fraction": 0.0,
        "tail_pixel": 8.0,
        "serial_cic": 0.0,
    }
    return Register(**{**values, **changes})  # type: ignore[arg-type]


def signal(simulated: SimulatedFrames) -> NDArray[np.float64]:
    """Active pixels of all frames, output electrons, where the bias is only a level."""
    rows, columns = simulated.readout.active
    raw = np.array([frame.data[rows, columns] for frame in simulated.frames], float)
    return (raw - simulated.device.bias_level) * simulated.device.gain


def chain_of_stages(em_gain: float, size: int) -> NDArray[np.float64]:
    """Distribution of one electron's output, from the generating function of every stage."""
    doubling = em_gain ** (1 / STAGES) - 1
    value = np.exp(-2j * np.pi * np.arange(size) / size)
    for _ in range(STAGES):
        value = (1 - doubling) * value + doubling * value * value
    return np.fft.ifft(value).real


@pytest.mark.parametrize(("em_gain", "stages"), [(50.0, STAGES), (1000.0, STAGES), (200.0, None)])
def test_multiplication_has_the_mean_and_excess_noise_of_its_stages(
    em_gain: float, stages: int | None
) -> None:
    charge = np.full((400, 500), 5.0, np.float32)
    multiply(charge, 0 * charge, register(em_gain, stages=stages), np.random.default_rng(1))
    noise = 2 * (em_gain - 1) * em_gain ** (-(STAGES + 1) / STAGES) + 1 / em_gain
    expected = (noise if stages else 2.0) - 1
    assert charge.mean() / em_gain / 5 == pytest.approx(1, abs=0.004)
    assert charge.var() / em_gain**2 / 5 == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize(("em_gain", "tolerance"), [(50, 5e-3), (200, 3e-3), (1000, 3e-3)])
def test_output_of_one_electron_is_that_of_the_chain_of_stages(
    em_gain: float, tolerance: float
) -> None:
    chain = 1 - np.cumsum(chain_of_stages(em_gain, 2**15))
    levels = np.rint(em_gain * np.array([0.1, 0.25, 0.5, 1, 2])).astype(int)
    variance = register(em_gain).relative_variance(em_gain)
    drawn = stats.gamma.sf(levels + 0.5, 1 / variance, scale=em_gain * variance)
    assert np.abs(drawn / chain[levels] - 1).max() < tolerance
    usual = np.exp(-(levels + 0.5) / em_gain)
    assert np.abs(usual / chain[levels] - 1).max() > 0.006


def test_charge_born_in_the_register_has_passed_a_part_of_it() -> None:
    charge = np.zeros((1000, 1000), np.float32)
    multiply(charge, 0 * charge, register(500.0, serial_cic=0.02), np.random.default_rng(2))
    born = charge[charge > 0]
    assert len(born) / charge.size == pytest.approx(0.02, rel=0.02)
    assert born.mean() == pytest.approx((500 - 1) / np.log(500), rel=0.05)


def test_charge_beyond_the_full_well_flows_on_into_the_next_row() -> None:
    charge = np.zeros((3, 10), np.float32)
    charge[0, 8] = 5000.0
    particles = np.where(charge > 0, 0.75, 0).astype(np.float32)
    tail = multiply(
        charge,
        particles,
        register(1.0, full_well=1000.0, tail_threshold=500.0, tail_fraction=0.02),
        np.random.default_rng(1),
    )
    np.testing.assert_allclose(charge[0, 8:], 990, atol=1)
    assert (charge[1, :3] > 980).all()
    trail = charge[1, 4:].astype(float)
    assert trail[0] > 1
    np.testing.assert_allclose(trail[1:] / trail[:-1], np.exp(-1 / 8), rtol=0.01)
    assert charge.sum() == pytest.approx(5000, abs=8)
    assert not tail[0, :9].any()
    assert tail[0, 9] == pytest.approx(0.75 * 4000, rel=1e-3)
    np.testing.assert_allclose(tail[1, 4:], 0.75 * charge[1, 4:], rtol=1e-4)


@pytest.mark.parametrize("mean", [0.01, 1.5, 40.0])
def test_collected_electrons_are_poisson_distributed(mean: float) -> None:
    expected = np.full((500, 1000), mean, np.float32)
    out = np.empty_like(expected)
    extra = np.zeros_like(expected)
    extra[0, 0] = 1000
    collect(expected, np.exp(-expected), extra, np.random.default_rng(3), out)
    assert out[0, 0] >= 1000
    out = out.ravel()[1:]
    error = np.sqrt(mean / out.size)
    assert out.mean() == pytest.approx(mean, abs=4 * error)
    assert out.var() == pytest.approx(mean, rel=4 * np.sqrt((2 + 1 / mean) / out.size))


def test_blooming_fills_a_column_and_loses_nothing() -> None:
    charge = np.full((60, 3), 100.0, np.float32)
    charge[30, 1] = 8001.0
    bloom(charge, 1000.0)
    assert charge.max() <= 1000
    assert charge[:, 1].sum() == 59 * 100 + 8001
    assert (charge == np.rint(charge)).all()
    full = np.flatnonzero(charge[:, 1] == 1000)
    assert full[0] in (26, 27)
    assert full[-1] in (33, 34)
    assert (charge[:, [0, 2]] == 100).all()


def test_transfers_move_whole_electrons_and_lose_none_within_the_frame() -> None:
    charge = np.zeros((40, 50), np.float32)
    charge[:20] = np.random.default_rng(1).poisson(3.0, (20, 50))
    before = charge.sum()
    rng = np.random.default_rng(2)
    transfer_rows(charge, 1e-3, 1.5, rng)
    transfer_columns(charge, 1e-3, 1.0, rng)
    assert charge.sum() == before
    assert (charge == np.rint(charge)).all()


@pytest.mark.parametrize("level", [1.0, 2000.0])
def test_trail_behind_an_edge_is_that_of_its_transfers(level: float) -> None:
    inefficiency, release = 2e-4, 1.5
    charge = np.zeros((20000, 130), np.float32)
    charge[:, 100] = level
    transfer_columns(charge, inefficiency, release, np.random.default_rng(4))
    left = 1 - (1 - inefficiency) ** 101
    trail = charge[:, 101:].mean(axis=0) / level
    stay = np.exp(-1 / release)
    expected = left * (1 - stay) * stay ** np.arange(29)
    error = np.sqrt(left / (20000 * level))
    assert trail.sum() == pytest.approx(left, abs=4 * error)
    np.testing.assert_allclose(trail[:4], expected[:4], atol=4 * error)
    np.testing.assert_allclose(charge[:, 100].mean() / level, 1 - left, atol=4 * error)


def test_first_row_moves_once_and_the_last_one_as_often_as_there_are_rows() -> None:
    charge = np.zeros((101, 4000), np.float32)
    charge[[0, 50, 99]] = 1000.0
    transfer_rows(charge, 1e-3, 0.3, np.random.default_rng(5))
    lost = 1 - charge[[0, 50, 99]].mean(axis=1) / 1000
    np.testing.assert_allclose(lost, 1 - 0.999 ** np.array([1, 51, 100]), atol=6e-4)


def test_dark_and_clock_induced_charge_have_the_rates_of_the_camera() -> None:
    simulated = simulate_frames(
        frames=300,
        exposure_time_s=20.0,
        em_gain=1000.0,
        effects=effects("dark", "cic", "read_noise"),  # noise that rounding does not bias
    )
    device = simulated.device
    usual = np.median(device.dark)
    assert 8e-4 < usual < 1.2e-3
    measured = signal(simulated).mean(axis=0) / 1000
    expected = device.cic[2:130] + 20 * device.dark[2:]
    cold = device.dark[2:] < 0.01
    assert measured[cold].mean() == pytest.approx(expected[cold].mean(), rel=0.01)
    hot = device.dark[2:] > 0.2
    assert hot.sum() > 3
    assert measured[hot].sum() == pytest.approx(expected[hot].sum(), rel=0.1)
    raw = np.array([frame.data for frame in simulated.frames], float)
    shielded = (raw[:, :2, 32:160] - device.bias_level) * device.gain / 1000
    reference = device.cic[:2] + 20 * device.dark[:2]
    assert shielded.mean() == pytest.approx(reference.mean(), rel=0.25)
    assert raw[:, :, :32].mean() == pytest.approx(device.bias_level, abs=0.02)


def test_response_of_the_camera_multiplies_the_light() -> None:
    simulated = simulate_frames(
        1000.0, frames=20, exposure_time_s=1.0, effects=effects("flat", "cosmic_rays")
    )
    ratio = signal(simulated).mean(axis=0) / 1000 / simulated.device.flat
    assert np.median(ratio) == pytest.approx(1, abs=2e-3)
    assert simulated.device.flat.mean() == pytest.approx(1, abs=1e-6)
    assert (simulated.device.flat < 0.6).any()


def test_conversion_loses_charge_as_the_square_says_and_more_at_high_gain() -> None:
    lost = []
    for em_gain, rate in ((1.0, 60000.0), (500.0, 120.0)):
        simulated = simulate_frames(
            rate, frames=20, exposure_time_s=1.0, em_gain=em_gain, effects=effects("nonlinearity")
        )
        linear, square = simulated.device.loss(em_gain)
        part = 60000 / simulated.device.register_full_well
        measured = 1 - signal(simulated).mean() / 60000
        spread = 1 if em_gain == 1 else 1 + 1.98 / 120
        assert measured == pytest.approx(linear * part * spread + square * part**2, abs=6e-4)
        lost.append(linear)
    assert lost[1] > 1.2 * lost[0]


def test_bias_of_a_frame_drifts_along_its_rows_about_the_recorded_mean() -> None:
    simulated = simulate_frames(frames=40, effects=effects("bias_structure", "read_noise"))
    raw = np.array([frame.data[:, :32] for frame in simulated.frames], float)
    raw -= simulated.device.fixed_pattern[:, :32]
    assert raw.mean(axis=(1, 2)) == pytest.approx(simulated.series.offset_adu, abs=0.4)
    rows = raw.mean(axis=2)
    own = rows - rows.mean(axis=1, keepdims=True)
    noise = simulated.device.read_noise / simulated.device.gain / np.sqrt(32)
    extra = own.var() - noise**2
    stripes = simulated.device.stripe_adu**2 / 2
    assert 0.5 * stripes < extra < stripes + 0.6**2


def test_read_noise_is_that_of_the_camera_and_near_that_of_the_header() -> None:
    simulated = simulate_frames(frames=10, effects=effects("read_noise"))
    noise = signal(simulated).std()
    rounding = simulated.device.gain / np.sqrt(12)
    assert noise == pytest.approx(np.hypot(simulated.device.read_noise, rounding), rel=0.01)
    header = simulated.frames[0].meta.read_noise
    assert header is not None
    assert header.to_value(u.electron) == pytest.approx(noise, rel=0.05)


def test_cosmic_rays_are_listed_with_their_charge_and_their_tails() -> None:
    simulated = simulate_frames(
        frames=60, em_gain=200.0, effects=effects("cosmic_rays", "register_tails")
    )
    rows, columns = simulated.readout.active
    masks = [hit_mask(simulated.hit_truth, index, simulated.readout.shape) for index in range(60)]
    hit = np.array(masks)
    level = signal(simulated)
    assert (level[~hit] > simulated.device.read_noise).mean() < 3e-3
    far = np.array(
        [
            hit_mask(simulated.hit_truth, i, simulated.readout.shape, tail_electron=1.0)
            for i in range(60)
        ]
    )
    assert (far & hit == hit).all()
    assert (level[~far] < 2 * simulated.device.gain).all()
    deposit = simulated.hit_truth.table["deposit"].to_value(u.electron)
    assert deposit.max() > 1000
    table = simulated.hit_truth.table
    assert (np.asarray(table["x"]) > columns.stop - columns.start).any()
    area = 130 * 128 * (13e-4) ** 2
    rays = simulated.device.cosmic_rays_per_cm2_s * area * 10.1 * 60
    assert 3 * rays < (deposit > 0).sum() < 60 * rays
    assert rows.start == 2


def test_gain_differs_from_the_commanded_one_by_a_few_per_cent_for_all_files_alike() -> None:
    errors = []
    for seed in range(8):
        first, second = (
            simulate_frames(frames=1, em_gain=300.0, instrument_seed=seed, seed=own)
            for own in (1, 2)
        )
        assert first.em_gain == second.em_gain
        header = first.frames[0].meta.em_gain
        assert header is not None
        assert header.value == 300
        errors.append(first.em_gain / 300 - 1)
    assert np.ptp(np.sign(errors)) == 2
    assert np.abs(errors).min() > 0.015
    assert np.abs(errors).max() < 0.055


def test_seeds_draw_noise_and_camera_apart() -> None:
    first, again, noise, camera = (
        simulate_frames(1.0, frames=2, instrument_seed=instrument, seed=seed)
        for instrument, seed in ((1, 1), (1, 1), (1, 2), (2, 1))
    )
    np.testing.assert_array_equal(first.frames[1].data, again.frames[1].data)
    assert (first.frames[1].data != first.frames[0].data).any()
    assert (first.frames[0].data != noise.frames[0].data).any()
    np.testing.assert_array_equal(first.device.flat, noise.device.flat)
    assert (first.device.flat != camera.device.flat).any()


def test_formats_have_the_documented_sizes() -> None:
    full = shipped("cpic_readout_1080x1050.toml", CpicReadout)
    assert full.raw_shape == (1050, 1080)
    assert full.shape == (1024, 1024)
    assert full.name == "1080x1050"
    camera = shipped("cpic_camera_proposed.toml", CpicCamera)
    device = draw_device(camera, shipped("cpic_readout_176x136.toml", CpicReadout), 1)
    assert 30 <= device.bias_level <= 34
    assert camera.register_stages == STAGES
