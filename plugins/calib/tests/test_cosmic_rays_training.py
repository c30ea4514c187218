"""The patch generator (no torch) and, where torch is installed, the network and its export."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from csst_calib.cosmic_rays.normalise import measure_background, scale
from csst_calib.training.patches import PatchSettings, draw_settings, make_patch
from csst_calib.training.scenes import Psf, bleed
from csst_calib.training.tracks import Charge, Silicon, deposit, draw_hit

SILICON = Silicon(thickness_um=20, pixel_um=10, diffusion_pixel=0.3)
SETTINGS = PatchSettings(
    silicon=SILICON,
    psf=Psf(fwhm_pixel=2.2, ellipticity=0.1, angle=0.3, beta=3),
    sky_electron=33,
    read_noise_electron=5,
    gain_electron_per_adu=1.1,
    full_well_electron=9e4,
    flat_residual=0.001,
    rate=1,
    stars_per_pixel=0,
    galaxies_per_pixel=0,
    hot_per_pixel=0,
)


def test_diffusion_keeps_charge_and_widens_it_with_depth() -> None:
    shallow, deep = (
        deposit([Charge(*(np.array([v]) for v in (10.0, 12.0, depth, 1000.0)))], (25, 21), SILICON)
        for depth in (0.04, 1.0)
    )
    for plane in (shallow, deep):
        assert plane.sum() == pytest.approx(1000, rel=1e-4)
        assert np.unravel_index(plane.argmax(), plane.shape) == (12, 10)
    assert shallow[12, 10] > 990
    # A Gaussian of sigma 0.3 keeps erf(0.5 / 0.3 / sqrt(2))^2 of its light in the pixel.
    assert deep[12, 10] == pytest.approx(1000 * 0.9044**2, rel=1e-3)


def test_charge_outside_the_patch_is_lost() -> None:
    charge = Charge(*(np.array([v]) for v in (-0.5, 5.0, 1.0, 1000.0)))
    assert deposit([charge], (11, 11), SILICON).sum() == pytest.approx(500, rel=1e-3)


def test_energy_of_minimum_ionising_tracks_is_that_of_silicon() -> None:
    rng = np.random.default_rng(3)
    total = [draw_hit(SILICON, 0, 0, rng).electron.sum() for _ in range(3000)]
    # 70 to 80 e-/um through 20 um and, for slanting tracks, more.
    assert 1200 < np.median(total) < 4000
    assert np.percentile(total, 99) > 20_000


def test_patch_is_repeatable_and_has_the_noise_asked_for() -> None:
    one, two = (make_patch(SETTINGS, 200, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.electron, two.electron)
    np.testing.assert_array_equal(one.deposit, two.deposit)
    empty = one.electron[one.deposit == 0]
    assert empty.mean() == pytest.approx(33, abs=0.2)
    assert empty.std() == pytest.approx(np.sqrt(33 + 25), rel=0.03)
    assert np.allclose(empty / 1.1, np.rint(empty / 1.1), atol=1e-3)


def test_rate_sets_the_number_of_pixels_hit() -> None:
    hit = [
        (make_patch(replace(SETTINGS, rate=rate), 500, np.random.default_rng(7)).deposit > 3).sum()
        for rate in (1, 4)
    ]
    assert hit[1] / hit[0] == pytest.approx(4, rel=0.5)


def test_hot_pixels_are_known_and_hold_no_deposit() -> None:
    patch = make_patch(replace(SETTINGS, rate=0, hot_per_pixel=0.01), 100, np.random.default_rng(1))
    assert 50 < patch.hot.sum() < 150
    assert not patch.deposit.any()
    values = patch.electron[patch.hot]
    assert np.isnan(values).all() or values.min() > 30


def test_star_keeps_its_flux() -> None:
    assert SETTINGS.psf.stamp(0.3, -0.2, 40).sum() == pytest.approx(1, rel=0.01)


def test_bleeding_keeps_charge_in_its_column_and_below_the_full_well() -> None:
    plane = np.zeros((101, 3), np.float32)
    plane[50, 1] = 1000
    bleed(plane, 100)
    assert plane.max() == 100
    assert plane[:, 1].sum() == pytest.approx(1000)
    assert not plane[:, [0, 2]].any()
    full = np.flatnonzero(plane[:, 1])
    assert abs((full[0] + full[-1]) / 2 - 50) <= 1


def test_settings_span_what_the_network_must_stand() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_settings(rng, rate=(0.5, 4)) for _ in range(300)]
    diffusion = [settings.silicon.diffusion_pixel for settings in drawn]
    assert min(diffusion) < 0.05
    assert max(diffusion) > 0.45
    assert all(3 <= settings.read_noise_electron <= 7 for settings in drawn)


def test_background_and_noise_are_found_beside_sources() -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(50, 6, (500, 390)).astype(np.float32)
    data += np.linspace(0, 20, 390, dtype=np.float32)
    data[100:120, 100:120] += 1000
    data[rng.uniform(size=data.shape) < 0.003] += 500
    data[7, :50] = np.nan
    level, noise = measure_background(data).at(slice(0, 500), slice(0, 390))
    assert level.dtype == noise.dtype == np.float32
    assert np.abs(level[:, 195] - 60).max() < 1.5
    assert np.abs(noise / 6 - 1).max() < 0.25
    assert level[:, 300].mean() > level[:, 90].mean() + 8


def test_scaling_is_the_inverse_hyperbolic_sine() -> None:
    data = np.array([[-40, 0, 1, 1e5, np.nan, np.inf, 1e30]], np.float32)
    two = np.full_like(data, 2)
    np.testing.assert_allclose(
        scale(data, two * 0, two)[0, :4], np.arcsinh(data[0, :4] / 2), rtol=1e-5, atol=1e-6
    )
    assert not scale(data, two * 0, two)[0, 4:].any()


def test_threshold_keeps_the_purity_asked_for() -> None:
    pytest.importorskip("torch")
    from csst_calib.training.calibrate import PURITY, choose

    rng = np.random.default_rng(4)
    hit = rng.uniform(size=100_000) < 0.1
    probability = np.clip(rng.normal(np.where(hit, 0.8, 0.2), 0.15), 0, 1).astype(np.float32)
    deposit = np.where(hit, 50, 0).astype(np.float32)
    chosen = choose(probability, deposit, np.full(hit.shape, 7, np.float32))
    assert chosen.purity == pytest.approx(PURITY, abs=1e-3)
    assert chosen.recall == pytest.approx((probability[hit] >= chosen.threshold).mean())


def test_receptive_field_is_within_the_declared_one() -> None:
    torch = pytest.importorskip("torch")
    from csst_calib.training.network import RECEPTIVE_FIELD_PIXEL, CosmicRayNetwork

    network = CosmicRayNetwork()
    reach = 0
    for row in range(48, 52):
        scaled = torch.rand(1, 1, 100, 100, requires_grad=True)
        network(scaled)[0, 0, row, row].backward()
        touched = torch.nonzero(scaled.grad[0, 0])
        reach = max(reach, int((touched - row).abs().max()))
    assert reach <= RECEPTIVE_FIELD_PIXEL


def test_training_and_export_end_to_end(tmp_path) -> None:
    pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from csst_calib.training.calibrate import Calibration
    from csst_calib.training.export import export
    from csst_calib.training.train import TrainingSettings, train

    settings = TrainingSettings(steps=3, batch=2, patch_pixel=64)
    path = tmp_path / "small.onnx"
    export(train(settings), Calibration(0.5, 0.9, 0.99, 0.98), settings, path)
    assert path.stat().st_size < 400_000
    session = onnxruntime.InferenceSession(path)
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["threshold"] == "0.5"
    assert json.loads(properties["training"])["steps"] == 3
    (probability,) = session.run(None, {"scaled": np.zeros((1, 1, 32, 48), np.float32)})
    assert probability.shape == (1, 1, 32, 48)
    assert ((probability >= 0) & (probability <= 1)).all()
