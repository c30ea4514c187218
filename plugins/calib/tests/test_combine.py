from collections.abc import Sequence
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.stats import mad_std, sigma_clip
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from csst_calib.combine_kernel import sorting_network
from csst_calib.stages.combine import combine
from csstcore.api import Image, UnprocessableData, replace
from csstcore.notes import collecting


def plain_combine(values: np.ndarray, variances: np.ndarray | None, clip: float) -> tuple:
    """The same in a few lines of numpy; `values` (frames, ...) are NaN where unusable."""
    with np.errstate(invalid="ignore"):
        median = np.nanmedian(values, axis=0)
        deviation = values - median
        limit = (np.float32(1.4826) * np.nanmedian(np.abs(deviation), axis=0)) ** 2
        if variances is not None:
            limit = np.maximum(limit, variances)
        used = deviation * deviation <= np.float32(clip) ** 2 * limit
    count = used.sum(axis=0)
    kept = np.where(used, deviation, 0).astype(np.float64)
    mean = median + kept.sum(axis=0) / count
    if variances is not None:
        return mean, np.where(used, variances, 0).sum(axis=0, dtype=np.float64) / count**2
    scatter = (kept**2).sum(axis=0) - kept.sum(axis=0) ** 2 / count
    return mean, scatter / np.maximum(count - 1, 1) / count


def frames(stack: np.ndarray, variances: np.ndarray | None = None) -> list[Image]:
    return [
        Image(plane, u.electron, None if variances is None else variances[n])
        for n, plane in enumerate(stack)
    ]


@pytest.fixture
def stack(rng) -> np.ndarray:
    values = rng.normal(100.0, 5.0, (20, 70, 90)).astype(np.float32)
    values[rng.random(values.shape) < 0.01] += 3000.0
    return values


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("with_variance", [False, True])
def test_compiled_answer_equals_plain_numpy(stack, rng, count, with_variance) -> None:
    values = stack[:count].copy()
    variances = rng.uniform(20.0, 30.0, values.shape).astype(np.float32) if with_variance else None
    combined = combine(frames(values, variances))
    mean, variance = plain_combine(values, variances, 5.0)
    np.testing.assert_allclose(combined.data, mean, rtol=1e-6)
    np.testing.assert_allclose(combined.variance, variance, rtol=1e-5, atol=1e-9)


def test_lone_cosmic_rays_are_rejected_to_within_3_percent_of_the_ideal(stack) -> None:
    combined = combine(frames(stack))
    assert combined.data.std() == pytest.approx(5.0 / np.sqrt(20 * 0.99), rel=0.03)
    assert np.abs(combined.data - 100.0).max() < 8.0


def test_variance_of_the_mean_is_right_on_average(rng) -> None:
    values = rng.normal(0.0, 5.0, (15, 200, 200)).astype(np.float32)
    given_variance = np.full_like(values, 25.0)
    for variances in (None, given_variance):
        combined = combine(frames(values, variances), clip_mad=8.0)
        assert combined.variance.mean() == pytest.approx(combined.data.var(), rel=0.02)


def test_weights_give_the_least_variance(rng) -> None:
    sigma = np.array([1.0, 2.0, 5.0, 10.0])
    values = (rng.normal(0.0, 1.0, (4, 200, 200)) * sigma[:, None, None]).astype(np.float32)
    variances = np.broadcast_to(np.square(sigma)[:, None, None], values.shape).astype(np.float32)
    combined = combine(frames(values, variances), clip_mad=50.0, weighted=True)
    assert combined.variance == pytest.approx(1 / np.sum(sigma**-2.0), rel=1e-5)
    assert combined.data.var() == pytest.approx(1 / np.sum(sigma**-2.0), rel=0.03)
    expected = np.average(values, axis=0, weights=1 / variances)
    assert np.median(np.abs(combined.data - expected)) < 1e-6


def test_weights_need_variances(stack) -> None:
    with pytest.raises(UnprocessableData, match="no variance to be weighted by"):
        combine(frames(stack), weighted=True)


def test_few_frames_are_not_clipped_by_chance(rng) -> None:
    values = rng.normal(0.0, 5.0, (3, 200, 200)).astype(np.float32)
    values[1, 10, 10] += 500.0
    combined = combine(frames(values, np.full_like(values, 25.0)))
    assert combined.data.std() == pytest.approx(5.0 / np.sqrt(3), rel=0.01)
    assert abs(combined.data[10, 10]) < 15.0


def test_masked_and_non_finite_values_take_no_part(rng) -> None:
    values = rng.normal(50.0, 1.0, (6, 40, 40)).astype(np.float32)
    images = frames(values.copy())
    for number, name in enumerate(("bad", "saturated", "cosmic_ray", "trail")):
        hit = np.zeros((40, 40), np.bool_)
        hit[5, number] = True
        images[number].set_flag(name, hit)
        images[number].data[5, number] = 1e5
        values[number, 5, number] = np.nan
    for row, bad in enumerate((np.nan, np.inf, -np.inf)):
        images[2].data[20, row], values[2, 20, row] = bad, np.nan
    mean, variance = plain_combine(values, None, 5.0)
    combined = combine(images)
    np.testing.assert_allclose(combined.data, mean, rtol=1e-6)
    np.testing.assert_allclose(combined.variance, variance, rtol=1e-5)


def test_hot_pixels_are_measured_and_stay_flagged(rng) -> None:
    images = frames(np.full((4, 8, 8), 9.0, np.float32))
    for image in images:
        image.set_flag("hot", np.eye(8, dtype=np.bool_))
    combined = combine(images)
    assert np.all(combined.data == 9.0)
    assert np.array_equal(combined.flagged("hot"), np.eye(8, dtype=np.bool_))


def test_pixel_without_any_usable_value_is_bad_and_zero() -> None:
    images = frames(np.full((3, 8, 8), 9.0, np.float32))
    for image in images:
        image.data[2, 3] = np.nan
    combined = combine(images)
    assert np.argwhere(combined.flagged("bad")).tolist() == [[2, 3]]
    assert combined.data[2, 3] == 0.0
    assert combined.variance[2, 3] == 0.0


def test_result_does_not_depend_on_the_tiles(stack, monkeypatch) -> None:
    whole = combine(frames(stack))
    monkeypatch.setattr("csst_calib.stages.combine.TILE_BYTES", 4 * 90 * 20 * 7)
    tiled = combine(frames(stack))
    assert np.array_equal(whole.data, tiled.data)
    assert np.array_equal(whole.variance, tiled.variance)


def test_memory_mapped_planes_give_the_same(stack, tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "stack", np.float32, "w+", shape=stack.shape)
    mapped[:] = stack
    assert np.array_equal(combine(frames(mapped)).data, combine(frames(stack)).data)


def test_inputs_stay_unchanged(stack) -> None:
    before = stack.copy()
    combine(frames(stack))
    assert np.array_equal(stack, before)


def test_common_facts_are_kept_and_the_time_spans_all_frames(make_image) -> None:
    times = [Time(f"2027-08-1{day}T00:00:00", scale="utc") for day in (3, 1, 2)]
    images = [
        make_image(seconds=seconds, time=time, end_time=time)
        for seconds, time in zip((1.0, 2.0, 2.0), times, strict=True)
    ]
    meta = combine(images).meta
    assert meta.detector == 7
    assert meta.exposure_time is None
    assert (meta.time, meta.end_time) == (times[1], times[0])
    assert combine(images[1:]).meta.exposure_time == 2.0 * u.s


def test_clipped_fraction_is_reported(stack) -> None:
    with collecting() as notes:
        combine(frames(stack))
    assert notes.metrics["combined_frames"] == 20
    assert notes.metrics["clipped_fraction"] == pytest.approx(0.0105, abs=0.005)


def test_values_that_take_no_part_are_not_counted_as_clipped() -> None:
    images = frames(np.full((4, 8, 8), 100.0, np.float32))
    images[0].data[:] = np.nan
    images[1] = replace(images[1], flags=np.full((8, 8), images[1].bit("saturated"), np.uint16))
    with collecting() as notes:
        combine(images)
    assert notes.metrics["clipped_fraction"] == 0.0


def test_frames_whose_flags_mean_other_things_are_refused() -> None:
    first, second = frames(np.zeros((2, 8, 8), np.float32))
    other = replace(second, flags=np.zeros((8, 8), np.uint16), flag_bits={"bad": 4})
    with pytest.raises(UnprocessableData, match=r"frame 1 has the flag bits \{'bad': 4\}; expec"):
        combine([first, other])


@pytest.mark.parametrize("wrong", [{"data": np.zeros((4, 4), np.float32)}, {"unit": u.adu}])
def test_frames_that_do_not_match_are_refused(wrong) -> None:
    first, second = frames(np.zeros((2, 8, 8), np.float32))
    with pytest.raises(UnprocessableData, match=r"frame 1 has shape .* expected \(8, 8\)"):
        combine([first, replace(second, **wrong)])


def test_no_frame_is_refused() -> None:
    with pytest.raises(UnprocessableData, match="no frame to combine"):
        combine([])


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_sorting_network_sorts(values: np.ndarray) -> None:
    rows = values.copy()
    for low, high in sorting_network(len(rows)):
        rows[low], rows[high] = np.minimum(rows[low], rows[high]), np.maximum(rows[low], rows[high])
    assert np.array_equal(rows, np.sort(values, axis=0))


def oracle_clip(values: Sequence[np.ndarray]) -> np.ma.MaskedArray:
    return sigma_clip(
        np.asarray(values, np.float64),
        sigma=5.0,
        maxiters=1,
        axis=0,
        cenfunc="median",
        stdfunc=lambda array, axis: (
            1.4826
            * np.median(np.abs(array - np.median(array, axis=axis, keepdims=True)), axis=axis)
        ),
    )


@pytest.mark.oracle
def test_one_clip_of_astropy_gives_the_same(stack) -> None:
    np.testing.assert_allclose(
        combine(frames(stack)).data, np.ma.mean(oracle_clip(stack), axis=0), rtol=1e-5
    )


@pytest.mark.oracle
def test_combiner_of_ccdproc_gives_the_same(stack) -> None:
    ccdproc = pytest.importorskip("ccdproc")
    from astropy.nddata import CCDData

    combiner = ccdproc.Combiner([CCDData(plane.astype(float), unit="electron") for plane in stack])
    combiner.sigma_clipping(low_thresh=5, high_thresh=5, func=np.ma.median, dev_func=mad_std)
    expected = combiner.average_combine().data
    np.testing.assert_allclose(combine(frames(stack)).data, expected, rtol=1e-5)
