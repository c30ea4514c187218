"""``mbi.l1`` on a full frame, references and all made by the demonstration, against truth."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .truth import (
    COSMIC_RAY,
    SATURATED,
    Exposure,
    flux_bias_by_magnitude,
    load_exposure,
    matched_stars,
    position_residual_mas,
    pulls,
)

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "demo.py"


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Exposure:
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run([sys.executable, str(DEMO), str(folder)], check=True)
    return load_exposure(folder)


def test_every_stage_is_done_or_has_nothing_to_do(exposure: Exposure) -> None:
    statuses = {stage["id"]: stage["status"] for stage in exposure.record["stages"]}
    # The demonstration makes neither of these references.
    assert statuses.pop("correct_shutter") == "skipped"
    assert statuses.pop("correct_cti") == "skipped"
    assert set(statuses.values()) == {"done"}


def test_pulls_of_empty_pixels_are_those_of_a_unit_normal(exposure: Exposure) -> None:
    values = pulls(exposure)
    print(f"pulls: mean {values.mean():.4f}, standard deviation {values.std():.4f}")
    assert values.size > 10_000_000
    assert abs(values.mean()) < 0.02
    assert 0.97 < values.std() < 1.03


def test_positions_are_within_3_mas_of_truth(exposure: Exposure) -> None:
    stars, found = matched_stars(exposure, 100)
    residual = position_residual_mas(stars, found)
    rms = np.sqrt(np.mean(np.square(residual), axis=0))
    print(f"positions: {rms[0]:.3f}, {rms[1]:.3f} mas rms of {len(residual)} stars")
    assert len(residual) > 500
    assert np.all(rms < 3.0)


def test_total_flux_is_unbiased_in_every_magnitude_bin(exposure: Exposure) -> None:
    bins = flux_bias_by_magnitude(*matched_stars(exposure, 50))
    for edge, count, bias in bins:
        print(f"flux: to {edge:.0f} mag, {count} stars, median bias {100 * bias:.3f} %")
    assert len(bins) >= 3
    assert all(abs(bias) < 0.003 for _, _, bias in bins)


def test_cosmic_rays_are_found(exposure: Exposure) -> None:
    hit = (exposure.deposit > 20) & ((exposure.flags & SATURATED) == 0)
    flagged = (exposure.flags & COSMIC_RAY) != 0
    recall = np.count_nonzero(hit & flagged) / np.count_nonzero(hit)
    precision = np.count_nonzero(flagged & (exposure.deposit > 0.1)) / np.count_nonzero(flagged)
    print(f"cosmic rays: recall {recall:.4f} above 20 electrons, precision {precision:.4f}")
    assert np.count_nonzero(exposure.deposit > 0.1) > 200_000
    assert recall > 0.98
    assert precision > 0.95


def test_peak_memory_is_under_2_5_gigabytes(exposure: Exposure) -> None:
    peak = max(stage["peak_bytes"] for stage in exposure.record["stages"])
    peak = max(peak, exposure.record["peak_bytes"])
    print(f"peak memory: {peak / 1e9:.2f} GB")
    assert peak < 2.5e9
