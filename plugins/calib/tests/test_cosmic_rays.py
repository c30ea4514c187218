"""`detect_cosmic_rays` against tracks put in by the test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import label

import csst_calib
from csst_calib.cosmic_rays.laplacian import Thresholds, find_by_laplacian
from csst_calib.cosmic_rays.network import find_by_network, open_network
from csst_calib.cosmic_rays.windows import windows
from csst_calib.stages.cosmic_rays import detect_cosmic_rays
from csstcore.api import Image, Meta, Onnx, UnprocessableData, replace
from csstcore.notes import collecting

MODEL = Onnx(Path(csst_calib.__file__).parent / "models" / "cosmic_rays.onnx")
SKY, READ_NOISE = 33.0, 5.0
META = Meta(exposure_time=150 * u.s, read_noise=READ_NOISE * u.electron)


@dataclass
class Field:
    electron: NDArray[np.float32]
    deposit: NDArray[np.float32]
    stars: NDArray[np.intp]
    """Row and column of each star."""

    def image(self, unit: u.UnitBase = u.electron) -> Image:
        per_unit = 150 if unit == u.electron / u.s else 1
        return Image(data=self.electron / np.float32(per_unit), unit=unit, meta=META)


def make_field(shape: tuple[int, int], tracks: int, seed: int) -> Field:
    """Gaussian stars of FWHM 2.2 pixels and straight tracks of 70 to 700 e- a pixel."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    expected = np.full(shape, SKY)
    stars = []
    for flux in np.geomspace(500, 3e5, 30):
        y, x = rng.uniform(10, np.array(shape) - 10)
        stars.append((round(y), round(x)))
        near = np.s_[max(0, round(y) - 12) : round(y) + 13, max(0, round(x) - 12) : round(x) + 13]
        squared = (rows[near] - y) ** 2 + (columns[near] - x) ** 2
        expected[near] += flux / (2 * np.pi * 0.87) * np.exp(-squared / (2 * 0.87))
    deposit = np.zeros(shape)
    for _ in range(tracks):
        y, x = rng.uniform(0, shape)
        angle = rng.uniform(0, 2 * np.pi)
        steps = np.arange(0, rng.uniform(2, 15), 0.1)
        at = np.rint([y + steps * np.sin(angle), x + steps * np.cos(angle)]).astype(int)
        inside = ((at >= 0) & (at < np.array(shape)[:, None])).all(axis=0)
        np.add.at(deposit, tuple(at[:, inside]), rng.uniform(7, 70))
    electron = rng.poisson(expected) + deposit + rng.normal(0, READ_NOISE, shape)
    return Field(electron.astype(np.float32), deposit.astype(np.float32), np.array(stars))


@pytest.fixture(scope="module")
def field() -> Field:
    return make_field((400, 402), 60, seed=1)


def nothing(rows: slice, columns: slice) -> NDArray[np.bool_]:
    return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)


def collect(found, shape: tuple[int, int]) -> NDArray[np.bool_]:
    hit = np.zeros(shape, np.bool_)
    for window, part in found:
        hit[window.rows, window.columns] = part
    return hit


@pytest.mark.parametrize("unit", [u.electron, u.electron / u.s])
@pytest.mark.parametrize(
    ("method", "recall", "precision"), [("network", 0.95, 0.95), ("lacosmic", 0.85, 0.9)]
)
def test_tracks_are_flagged_and_the_rest_is_not(field, unit, method, recall, precision) -> None:
    image = field.image(unit)
    pixels = image.data.copy()
    with collecting() as notes:
        result = detect_cosmic_rays(image, MODEL, method=method)
    hit = result.flagged("cosmic_ray")
    assert hit[field.deposit > 60].mean() > recall
    assert (field.deposit[hit] > 0).mean() > precision
    assert notes.metrics == {"cosmic_ray_pixels": np.count_nonzero(hit)}
    np.testing.assert_array_equal(result.data, pixels)


def test_stars_are_not_flagged(field) -> None:
    hit = detect_cosmic_rays(field.image(), MODEL).flagged("cosmic_ray")
    clean = [
        (j, i) for j, i in field.stars if not field.deposit[j - 2 : j + 3, i - 2 : i + 3].any()
    ]
    assert len(clean) > 20
    assert not any(hit[j - 1 : j + 2, i - 1 : i + 2].any() for j, i in clean)


def test_a_higher_threshold_flags_fewer_pixels(field) -> None:
    number = [
        detect_cosmic_rays(field.image(), MODEL, threshold=threshold).flagged("cosmic_ray").sum()
        for threshold in (0.05, 0.5, 0.95)
    ]
    assert number[0] > number[1] > number[2] > 0


def test_other_flags_stay_and_their_pixels_are_not_judged(field) -> None:
    image = field.image()
    image.flags = np.zeros(image.shape, np.uint16)
    y, x = np.unravel_index(np.argmax(field.deposit), image.shape)
    image.flags[y, x] = image.bit("hot")
    image.data[5, 5] = np.nan
    image.flags[5, 5] = image.bit("bad")
    result = detect_cosmic_rays(image, MODEL)
    assert result.flags[y, x] == image.bit("hot")
    assert result.flags[5, 5] == image.bit("bad")
    assert result.flagged("cosmic_ray").any()


def test_network_flags_do_not_depend_on_the_windows(field) -> None:
    network = open_network(MODEL)
    flags = [
        collect(
            find_by_network(
                field.electron, network, 0.5, electron_per_unit=1, blind=nothing, size=size
            ),
            field.electron.shape,
        )
        for size in (1000, 128, 92)
    ]
    assert flags[0].any()
    np.testing.assert_array_equal(flags[1], flags[0])
    np.testing.assert_array_equal(flags[2], flags[0])


def test_a_network_for_whole_images_is_run_as_well(field, tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    axes = ["batch", 1, "rows", "columns"]
    scaled, probability = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes)
        for name in ("scaled", "probability")
    )
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Sigmoid", ["scaled"], ["probability"])],
        "brightness",
        [scaled],
        [probability],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    properties = {
        "normalisation": "asinh((pixel - background) / noise)",
        "threshold": "0.99",
        "receptive_field_pixel": "4",
    }
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, tmp_path / "brightness.onnx")
    image = detect_cosmic_rays(field.image(), Onnx(tmp_path / "brightness.onnx"))
    signal = (field.electron - SKY) / np.hypot(READ_NOISE, np.sqrt(SKY))
    limit = np.sinh(np.log(99))
    hit = image.flagged("cosmic_ray")
    assert hit[signal > 1.2 * limit].all()
    assert not hit[signal < 0.8 * limit].any()


def test_lacosmic_flags_do_not_depend_on_the_windows(field) -> None:
    flags = [
        collect(
            find_by_laplacian(
                field.electron,
                Thresholds(4.5, 0.3, 2.0),
                electron_per_unit=1,
                read_noise_electron=READ_NOISE,
                unjudged=nothing,
                size=size,
            ),
            field.electron.shape,
        )
        for size in (1000, 140)
    ]
    assert flags[0].any()
    np.testing.assert_array_equal(flags[1], flags[0])


def test_lacosmic_reports_nothing_of_its_own(field, capfd) -> None:
    detect_cosmic_rays(field.image(), method="lacosmic")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("size", "overlap"), [(512, 24), (100, 21), (7, 4)])
def test_windows_cover_the_frame_once_and_see_their_surroundings(size, overlap) -> None:
    shape = (301, 222)
    seen = np.zeros(shape, int)
    places = np.arange(seen.size).reshape(shape)
    for window in windows(shape, size, overlap):
        seen[window.rows, window.columns] += 1
        assert window.seen_rows.start % 4 == 0
        assert window.seen_columns.start % 4 == 0
        assert window.rows.start - window.seen_rows.start >= min(overlap, window.rows.start)
        assert window.seen_columns.stop >= min(window.columns.stop + overlap, shape[1])
        part = places[window.seen_rows, window.seen_columns][window.inner]
        np.testing.assert_array_equal(part, places[window.rows, window.columns])
    assert (seen == 1).all()


@pytest.mark.oracle
def test_lacosmic_agrees_with_astroscrappy(field) -> None:
    astroscrappy = pytest.importorskip("astroscrappy")
    image = detect_cosmic_rays(field.image(), method="lacosmic", contrast=2.0)
    theirs, _ = astroscrappy.detect_cosmics(
        field.electron,
        sigclip=4.5,
        sigfrac=0.3,
        objlim=2.0,
        gain=1.0,
        readnoise=READ_NOISE,
        sepmed=False,
        cleantype="medmask",
        fsmode="median",
    )
    ours = image.flagged("cosmic_ray")
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.9


@pytest.mark.data
@pytest.mark.oracle
@pytest.mark.skipif("CSST_TEST_DATA" not in os.environ, reason="CSST_TEST_DATA is not set")
def test_network_finds_the_hits_of_a_real_frame_that_two_other_tools_agree_on() -> None:
    astroscrappy = pytest.importorskip("astroscrappy")
    path = Path(os.environ["CSST_TEST_DATA"]) / "imaging" / "ccd" / "saao_ste3_a8280271.fits"
    raw = fits.getdata(path).astype(np.float32)
    electron = np.ascontiguousarray((raw - np.median(raw[:, 3:13]))[2:505, 20:526]) * 1.9
    meta = Meta(read_noise=6.5 * u.electron)
    network, laplacian = (
        detect_cosmic_rays(
            Image(electron, unit=u.electron, meta=meta), MODEL, method=method
        ).flagged("cosmic_ray")
        for method in ("network", "lacosmic")
    )
    theirs, _ = astroscrappy.detect_cosmics(electron, gain=1.0, readnoise=6.5, sigclip=5, objlim=5)
    hits, number = label(laplacian & theirs, np.ones((3, 3)))
    assert number >= 10
    assert np.unique(hits[network & (hits > 0)]).size >= 0.95 * number
    hits, number = label(network, np.ones((3, 3)))
    assert np.unique(hits[laplacian & (hits > 0)]).size >= 0.9 * number


@pytest.mark.parametrize("unit", [u.adu, u.dimensionless_unscaled])
def test_another_unit_is_refused(field, unit) -> None:
    image = Image(data=field.electron, unit=unit)
    with pytest.raises(UnprocessableData, match="found in electron or electron / s"):
        detect_cosmic_rays(image, MODEL)
    assert image.flags is None


def test_pixels_that_are_not_finite_are_not_flagged_and_hide_no_neighbour(field) -> None:
    y, x = np.unravel_index(field.deposit.argmax(), field.deposit.shape)
    image = field.image()
    image.data[y, x - 1 : x + 2] = np.nan, image.data[y, x], np.inf
    hit = detect_cosmic_rays(image, MODEL).flagged("cosmic_ray")
    assert hit[y, x - 1 : x + 2].tolist() == [False, True, False]


def test_rates_without_an_exposure_time_are_refused(field) -> None:
    image = Image(data=field.electron, unit=u.electron / u.s)
    with pytest.raises(UnprocessableData, match="no exposure time"):
        detect_cosmic_rays(image, MODEL)
    assert image.flags is None


def test_a_missing_model_is_named(field) -> None:
    with pytest.raises(UnprocessableData, match="cosmic_ray_model"):
        detect_cosmic_rays(field.image())


def test_an_image_without_the_flag_is_refused(field) -> None:
    image = Image(data=field.electron, unit=u.electron, flag_bits={"bad": 1})
    with pytest.raises(UnprocessableData, match="no flag 'cosmic_ray'; it has bad"):
        detect_cosmic_rays(image, MODEL)


@pytest.mark.parametrize(
    ("unit", "meta", "message"),
    [
        (u.electron, Meta(), "needs the read noise"),
        (u.electron / u.s, Meta(read_noise=5 * u.electron), "no exposure time"),
        (u.electron / u.s, replace(META, exposure_time=0 * u.s), "exposure time is 0.0 s"),
    ],
)
def test_lacosmic_says_what_it_lacks(field, unit, meta, message) -> None:
    image = Image(data=field.electron, unit=unit, meta=meta)
    with pytest.raises(UnprocessableData, match=message):
        detect_cosmic_rays(image, method="lacosmic")
    assert image.flags is None


def test_a_model_that_does_not_say_how_to_use_it_is_refused(field, tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(MODEL.path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(UnprocessableData, match=r"bare\.onnx: property normalisation is None"):
        detect_cosmic_rays(field.image(), Onnx(tmp_path / "bare.onnx"))
    onnx.helper.set_model_props(model, {"normalisation": "asinh((pixel - background) / noise)"})
    onnx.save(model, tmp_path / "half.onnx")
    with pytest.raises(UnprocessableData, match="'threshold' is missing"):
        detect_cosmic_rays(field.image(), Onnx(tmp_path / "half.onnx"))


def test_a_blank_frame_has_no_cosmic_rays() -> None:
    image = Image(data=np.full((70, 50), 7.0, np.float32), unit=u.electron, meta=META)
    assert not detect_cosmic_rays(image, MODEL).flagged("cosmic_ray").any()
