"""What charge leaves behind in transfers, and its correction."""

import tomllib
from importlib.resources import files

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from csst_cpic.camera.transfer import Transfer, remove_trails, trailed, transfers_of
from csst_cpic.detector import Detector
from csst_cpic.stages.cte import correct_cte
from csstcore.api import Image, NotApplicable, Table, UnprocessableData
from csstcore.notes import collecting

DETECTOR = Detector(
    **tomllib.loads(files("csst_cpic").joinpath("references/detector_176x136.toml").read_text())
)
TRUE = {"vertical": Transfer(2e-5, 1.5), "horizontal": Transfer(4e-5, 0.8)}


def reference(**changes) -> Table:
    table = QTable()
    for name, transfer in TRUE.items():
        table[f"{name}_inefficiency"] = [transfer.inefficiency]
        table[f"{name}_release"] = [transfer.release_pixel] * u.pixel
    for name, value in changes.items():
        table[name] = value
    return Table(table)


def read_out(electrons: np.ndarray) -> np.ndarray:
    """The active area after both transfers, line by line."""
    raw = np.zeros(DETECTOR.raw_shape)
    raw[DETECTOR.active] = electrons
    raw = np.array([trailed(line, TRUE["vertical"]) for line in raw.T]).T
    return np.array([trailed(line, TRUE["horizontal"]) for line in raw])[DETECTOR.active]


def test_a_packet_loses_a_part_in_every_transfer_and_nothing_is_lost() -> None:
    line = np.zeros(400)
    line[99] = 1000.0
    seen = trailed(line, Transfer(1e-4, 2.0))
    assert seen[99] == pytest.approx(1000.0 * (1 - 1e-4) ** 100)
    assert seen.sum() == pytest.approx(1000.0)
    assert seen[101] / seen[100] == pytest.approx(np.exp(-0.5))


def test_the_correction_is_the_inverse() -> None:
    true = np.random.default_rng(4).exponential(500.0, (300, 5))
    transfer = Transfer(5e-4, 3.0)
    seen = np.array([trailed(line, transfer, skipped=40) for line in true.T]).T
    packets = np.ascontiguousarray(seen, np.float32)
    remove_trails(packets, transfer, skipped=40)
    np.testing.assert_allclose(packets, true, rtol=2e-5, atol=0.01)


def test_frames_are_corrected_in_both_directions() -> None:
    rng = np.random.default_rng(5)
    true = rng.poisson(3.0, DETECTOR.shape) + 5e4 * (rng.random(DETECTOR.shape) < 0.01)
    seen = read_out(true)
    assert np.abs(seen - true).max() > 100
    image = Image(seen.astype(np.float32), u.electron)
    with collecting() as notes:
        result = correct_cte(image, DETECTOR, reference())
    assert np.abs(result.data - true).max() < 0.05
    assert notes.metrics["cte_vertical"] == pytest.approx(1 - 2e-5, abs=1e-12)


def test_noise_is_not_biased() -> None:
    noise = np.random.default_rng(6).normal(0, 40.0, DETECTOR.shape).astype(np.float32)
    result = correct_cte(Image(noise.copy(), u.electron), DETECTOR, reference())
    assert result.data.mean() == pytest.approx(noise.mean(), abs=0.02)
    assert result.data.std() == pytest.approx(noise.std(), rel=0.01)


def test_a_pixel_without_a_number_spoils_no_other() -> None:
    data = np.full(DETECTOR.shape, 100.0, np.float32)
    data[50, 60] = np.nan
    result = correct_cte(Image(data, u.electron), DETECTOR, reference()).data
    assert np.isnan(result[50, 60])
    assert np.count_nonzero(~np.isfinite(result)) == 1


def test_references_that_do_not_fit_are_refused() -> None:
    image = Image(np.zeros(DETECTOR.shape, np.float32), u.electron)
    with pytest.raises(NotApplicable):
        correct_cte(image, DETECTOR, None)
    with pytest.raises(UnprocessableData, match="the frame has shape"):
        correct_cte(Image(np.zeros((4, 4), np.float32)), DETECTOR, reference())
    with pytest.raises(UnprocessableData, match=r"inefficiency is 0\.5; expected 0 to 0\.01"):
        transfers_of(reference(vertical_inefficiency=[0.5]))
    with pytest.raises(UnprocessableData, match="release_pixel is nan"):
        transfers_of(reference(horizontal_release=[np.nan] * u.pixel))
    with pytest.raises(UnprocessableData, match="has 0 rows; expected 1"):
        transfers_of(Table(reference().table[:0]))
