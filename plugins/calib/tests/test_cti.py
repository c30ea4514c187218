"""Charge-transfer inefficiency: its correction and its measurement, by a plain forward model."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.typing import NDArray

from csst_calib.cti_quality import parallel_trail_residual, serial_trail_residual, trails
from csst_calib.readout import Readout
from csst_calib.stages.cti import correct_cti
from csst_calib.stages.measure_cti import measure_cti
from csst_calib.trail_fit import trail_of
from csst_calib.trails import remove_trails
from csst_calib.traps import DIRECTIONS, REFERENCE_ELECTRON, Traps
from csstcore.api import Image, Meta, NotApplicable, Table, UnprocessableData, replace

READOUT = Readout(
    160, 200, 2, 2, prescan_columns=12, overscan_columns=16, overscan_rows=16,
)  # fmt: skip
GAIN = 1.25
LEVELS = (2e3, 5e3, 1e4, 2e4, 4e4, 6e4) * 2


PARALLEL = Traps(np.array([0.3, 0.2]), np.array([0.8, 5.0]), 0.6)
SERIAL = Traps(np.array([0.1, 0.25]), np.array([0.6, 9.0]), 0.8)


def add_trails(packets: NDArray[np.float64], traps: Traps, skipped: int = 0) -> None:
    """Move packets past traps along axis 0, in place: the documented model, packet by packet."""
    held = np.zeros((len(traps.density), packets.shape[1]))
    kept = np.exp(-1.0 / traps.release_pixel)[:, None]
    for packet, charge in enumerate(packets):
        present = np.maximum(charge, 0.0)
        reach = (present / REFERENCE_ELECTRON) ** traps.exponent
        wanted = np.maximum((skipped + packet + 1) * traps.density[:, None] * reach - held, 0.0)
        total = wanted.sum(axis=0)
        wanted *= present / np.where(total > 0, present + total, 1.0)
        held += wanted
        packets[packet] += ((1 - kept) * held).sum(axis=0) - wanted.sum(axis=0)
        held *= kept


def transferred(
    raw: NDArray[np.float64], readout: Readout, parallel: Traps = PARALLEL, serial: Traps = SERIAL
) -> NDArray[np.float64]:
    """Return a raw-format frame after parallel and serial transfer to every amplifier."""
    raw = raw.copy()
    first, last = readout.prescan_columns, readout.prescan_columns + readout.channel_columns
    for channel in readout:
        block = raw[channel.block][channel.read_order]
        add_trails(block[:, first:last], parallel)
        add_trails(block.T, serial)
    return raw


def reference(readout: Readout, parallel: Traps = PARALLEL, serial: Traps = SERIAL) -> Table:
    """Return a reference with the same traps in every channel."""
    table = QTable({"channel": np.arange(1, readout.channels + 1, dtype=np.int32)})
    for name, traps in zip(DIRECTIONS, (parallel, serial), strict=True):
        table[f"{name}_density"] = np.tile(traps.density, (readout.channels, 1)) * u.electron
        table[f"{name}_release"] = np.tile(traps.release_pixel, (readout.channels, 1)) * u.pixel
        table[f"{name}_exponent"] = np.full(readout.channels, traps.exponent)
    return Table(table)


def scene(rng, readout) -> np.ndarray:
    """Electrons on a sky of 30 with bright pixels up to 50000, all of them active."""
    data = rng.normal(30.0, 3.0, readout.shape)
    bright = rng.random(readout.shape) < 0.01
    data[bright] += np.exp(rng.uniform(np.log(100), np.log(5e4), bright.sum()))
    return data


def read_out(data, readout) -> np.ndarray:
    """The active area after transfer, in place on the sky."""
    raw = np.zeros(readout.raw_shape)
    for channel in readout:
        raw[channel.raw] = data[channel.active]
    raw = transferred(raw, readout)
    seen = np.empty(readout.shape)
    for channel in readout:
        seen[channel.active] = raw[channel.raw]
    return seen


def test_trails_of_every_channel_are_put_back(make_image, rng, readout) -> None:
    true = scene(rng, readout)
    seen = read_out(true, readout)
    trail = np.abs(seen - true)
    for channel in readout:
        assert trail[channel.active].max() > 5.0
    result = correct_cti(make_image(seen), readout, reference(readout))
    assert np.abs(result.data - true).sum() < 1e-3 * trail.sum()
    assert np.abs(result.data - true).max() < 0.05


def test_rows_and_columns_before_the_active_ones_count_as_transfers(rng) -> None:
    readout = Readout(40, 60, 1, 1, prescan_columns=30, prescan_rows=25)
    true = scene(rng, readout)
    seen = Image(read_out(true, readout).astype(np.float32), u.electron)
    result = correct_cti(seen, readout, reference(readout))
    assert np.abs(result.data - true).max() < 0.05


def test_one_repetition_removes_most_and_more_converge(make_image, rng, readout) -> None:
    true = scene(rng, readout)
    seen = read_out(true, readout)
    left = [
        np.abs(
            correct_cti(make_image(seen), readout, reference(readout), iterations=n).data - true
        ).sum()
        for n in (1, 2, 4)
    ]
    assert left[0] < 0.2 * np.abs(seen - true).sum()
    assert left[1] < 0.2 * left[0]
    assert left[2] <= left[1]


def test_kernel_undoes_the_plain_model(rng) -> None:
    true = np.abs(rng.normal(0.0, 2000.0, (200, 7)))
    true[50:120] = 0.0
    seen = true.copy()
    add_trails(seen, SERIAL, skipped=9)
    packets = seen.astype(np.float32)
    remove_trails(packets, SERIAL, skipped=9, iterations=6)
    np.testing.assert_allclose(packets, true, rtol=1e-5, atol=0.02)


def test_no_charge_is_made_or_lost(rng) -> None:
    """What leaves the bright packets is in the trail: followed to its end, the sum is the same."""
    seen = np.zeros((400, 5), np.float32)
    seen[10:14] = rng.uniform(100.0, 5e4, (4, 5))
    true = seen.astype(np.float64)
    add_trails(true, PARALLEL)
    packets = true.astype(np.float32)
    assert packets[20:].max() > 0.01
    before = packets.sum(axis=0, dtype=np.float64)
    remove_trails(packets, PARALLEL)
    assert packets.sum(axis=0, dtype=np.float64) == pytest.approx(before, rel=1e-6)
    assert before == pytest.approx(seen.sum(axis=0, dtype=np.float64), rel=1e-6)


def add_trails_by_depth(packets: NDArray[np.float64], traps: Traps) -> None:
    """Move packets past traps that each sit at a charge: smaller packets never reach them.

    Unlike in the model of the correction, a trap below the surface of every packet is full and
    stays so (Anderson & Bedin 2010; Massey et al. 2014).
    """
    edges = np.concatenate([[0.0], np.geomspace(0.5, 1e5, 120)])
    volume = (edges / REFERENCE_ELECTRON) ** traps.exponent
    held = np.zeros((len(traps.density), len(volume) - 1, packets.shape[1]))
    kept = np.exp(-1.0 / traps.release_pixel)[:, None, None]
    for packet, charge in enumerate(packets):
        reach = (np.maximum(charge, 0.0) / REFERENCE_ELECTRON) ** traps.exponent
        part = np.clip((reach - volume[:-1, None]) / np.diff(volume)[:, None], 0.0, 1.0)
        places = (packet + 1) * traps.density[:, None, None] * np.diff(volume)[None, :, None]
        into = np.maximum(places * part - held, 0.0)
        held += into
        packets[packet] += ((1 - kept) * held).sum(axis=(0, 1)) - into.sum(axis=(0, 1))
        held *= kept


def test_charge_returns_to_its_pixels_although_traps_have_a_depth(rng) -> None:
    true = np.full((300, 40), 30.0)
    bright = np.zeros(true.shape, np.bool_)
    bright[10::25] = True
    true[bright] += np.exp(rng.uniform(np.log(3e3), np.log(5e4), bright.sum()))
    traps = Traps(np.array([0.012, 0.01]), np.array([0.8, 7.0]), 0.5)
    seen = true.copy()
    add_trails_by_depth(seen, traps)
    packets = seen.astype(np.float32)
    remove_trails(packets, traps)
    lost, left = (seen - true)[bright], (packets - true)[bright]
    assert lost.mean() < -0.3
    assert abs(left.mean()) < 0.02 * abs(lost.mean())
    assert np.abs(packets - true).sum() < 0.15 * np.abs(seen - true).sum()


def test_a_packet_never_gives_more_than_it_has() -> None:
    packets = np.full((50, 3), 0.01)
    add_trails(packets, Traps(np.array([500.0]), np.array([5.0]), 0.5))
    assert np.all(packets >= 0)


def test_without_traps_nothing_changes(make_image, rng, readout) -> None:
    none = Traps(np.zeros(2), np.ones(2), 0.5)
    data = rng.normal(30.0, 20.0, readout.shape).astype(np.float32)
    result = correct_cti(make_image(data), readout, reference(readout, none, none))
    assert np.array_equal(result.data, data)


def test_number_of_threads_does_not_matter(make_image, rng, readout, monkeypatch) -> None:
    seen = read_out(scene(rng, readout), readout)
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(correct_cti(make_image(seen), readout, reference(readout)).data)
    assert np.array_equal(*results)


def test_without_a_reference_there_is_nothing_to_do(make_image, readout) -> None:
    with pytest.raises(NotApplicable, match="no charge-transfer reference"):
        correct_cti(make_image(), readout)


def test_references_that_do_not_fit_are_refused(make_image, readout) -> None:
    table = reference(readout)
    image = make_image(5.0)
    with pytest.raises(UnprocessableData, match="has 7 rows; expected 8"):
        correct_cti(image, readout, Table(table.table[:7]))
    table.table["serial_release"][3, 1] = -1.0 * u.pixel
    with pytest.raises(UnprocessableData, match=r"channel 4, serial: release_pixel .* positive"):
        correct_cti(image, readout, table)
    table = reference(readout)
    table.table["parallel_exponent"][0] = np.nan
    with pytest.raises(UnprocessableData, match="channel 1, parallel: exponent is nan"):
        correct_cti(image, readout, table)
    with pytest.raises(UnprocessableData, match="the image is in adu"):
        correct_cti(make_image(5.0, u.adu), readout, reference(readout))
    assert np.all(image.data == 5.0)


def raw_frame(
    rng, level: float, seconds: float, traps: tuple[Traps, Traps] = (PARALLEL, SERIAL)
) -> Image:
    """A raw frame in adu with a fixed pattern, a drift along rows and a few cosmic rays."""
    electrons = np.zeros(READOUT.raw_shape)
    for channel in READOUT:
        shape = READOUT.channel_rows, READOUT.channel_columns
        electrons[channel.raw] = rng.poisson(level, shape)
    electrons = transferred(electrons, READOUT, *traps)
    electrons[rng.random(READOUT.raw_shape) < 1e-4] += 3000.0
    pattern = np.random.default_rng(1).normal(0.0, 1.5, READOUT.raw_shape[1])
    drift = rng.normal(0.0, 1.0) * np.linspace(-1, 1, READOUT.raw_shape[0])[:, None]
    electrons += rng.normal(0.0, 2.0, electrons.shape)
    adu = np.rint(electrons / GAIN + 1000.0 + pattern + drift)
    meta = Meta(exposure_time=seconds * u.s, gain=GAIN * u.electron / u.adu, instrument="TEST")
    return Image(adu.astype(np.uint16), u.adu, meta=meta)


@pytest.fixture(scope="module")
def frames() -> tuple[list[Image], list[Image]]:
    rng = np.random.default_rng(12)
    flats = [raw_frame(rng, level, level / 1e3) for level in LEVELS]
    return flats, [raw_frame(rng, 0.0, 0.0) for _ in range(6)]


@pytest.fixture(scope="module")
def measured(frames):
    return measure_cti(*frames, READOUT)


@pytest.mark.parametrize(
    ("direction", "true", "transfers"),
    [("parallel", PARALLEL, 200), ("serial", SERIAL, 172)],
)
def test_true_traps_are_found(measured, direction, true, transfers) -> None:
    """Densities and release times compensate each other: the trails are what counts."""
    table = measured.table
    assert table[f"{direction}_exponent"][0] == pytest.approx(true.exponent, abs=0.03)
    assert table[f"{direction}_release"][0].value == pytest.approx(true.release_pixel, rel=0.2)
    for charge in (1e4, 5e4):
        expected = trail_of(true, charge, transfers, 16)
        density = table[f"{direction}_density"].mean(axis=0).value
        found = Traps(
            density,
            table[f"{direction}_release"][0].value,
            float(table[f"{direction}_exponent"][0]),
        )
        left = trail_of(found, charge, transfers, 16) - expected
        assert np.abs(left).sum() < 0.05 * expected.sum()


def test_channels_differ_no_more_than_their_errors(measured) -> None:
    density = measured.table["parallel_density"].value
    error = measured.table["parallel_density_error"].value
    assert np.all(error > 0)
    assert np.all(np.abs(density - PARALLEL.density) < 5 * error)


def test_trails_and_fits_are_shown(measured) -> None:
    assert parallel_trail_residual(measured) < 0.05
    assert serial_trail_residual(measured) < 0.05
    assert len(trails(measured).axes) == 4


def test_one_species_is_not_split_in_two() -> None:
    single = Traps(np.array([0.4]), np.array([2.0]), 0.5)
    rng = np.random.default_rng(3)
    flats = [raw_frame(rng, level, 1.0, (single, single)) for level in (5e3, 4e4)]
    table = measure_cti(flats, [raw_frame(rng, 0.0, 0.0) for _ in range(4)], READOUT).table
    for direction in ("parallel", "serial"):
        assert np.all(table[f"{direction}_density"][:, 1].value == 0)
        assert table[f"{direction}_release"][0, 0].value == pytest.approx(2.0, rel=0.05)


def test_frames_without_light_or_without_a_trail_are_refused(frames, rng) -> None:
    _, biases = frames
    with pytest.raises(UnprocessableData, match=r"parallel trails: .* expected more than 100"):
        measure_cti(biases[:3], biases[3:], READOUT)
    none = Traps(np.zeros(1), np.ones(1), 0.5)
    flats = [raw_frame(rng, level, 1.0, (none, none)) for level in (1e3, 4e3)]
    with pytest.raises(UnprocessableData, match="parallel trails: no trail is seen"):
        measure_cti(flats, biases, READOUT)


def test_frames_with_an_electron_multiplying_gain_are_refused(frames) -> None:
    flats, biases = frames
    multiplied = replace(flats[0], meta=replace(flats[0].meta, em_gain=50.0 * u.one))
    with pytest.raises(UnprocessableData, match="a flat frame has the EM gain 50; expected 1"):
        measure_cti([multiplied, *flats[1:]], biases, READOUT)


def test_geometry_without_overscan_is_refused(frames) -> None:
    bare = Readout(188, 216, 2, 2)
    with pytest.raises(UnprocessableData, match="prescan_columns 0; expected at least 1"):
        measure_cti(*frames, bare)
    with pytest.raises(UnprocessableData, match=r"expected .* by the readout geometry"):
        measure_cti(*frames, Readout(9, 9))


def test_a_measured_reference_corrects(measured, rng) -> None:
    assert set(reference(READOUT).table.colnames) <= set(measured.table.colnames)
