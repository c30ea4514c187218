"""The patch generator (no torch) and, where torch is installed, the network and its export."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from csst_calib.cosmic_rays.candidates import find_candidates, gather
from csst_calib.cosmic_rays.network import open_network
from csst_calib.cosmic_rays.normalise import measure_background, scale
from csst_calib.training.domain import Domain, domain_of
from csst_calib.training.fields import FieldSettings, draw_settings, make_field
from csst_calib.training.samples import inputs, sample
from csst_calib.training.scenes import Psf, bleed, draw_ghost, draw_streak
from csst_calib.training.tracks import Charge, Silicon, deposit, draw_hit
from csstcore.api import Onnx

SILICON = Silicon(thickness_um=20, pixel_um=10, diffusion_pixel=0.3)
SETTINGS = FieldSettings(
    silicon=SILICON,
    psf=Psf(fwhm_pixel=2.2, ellipticity=0.1, angle=0.3, beta=3),
    background_electron=33,
    read_noise_electron=5,
    gain_electron_per_adu=1.1,
    full_well_electron=9e4,
    flat_residual=0.001,
    rate=1,
    stars_per_pixel=0,
    galaxies_per_pixel=0,
    hot_per_pixel=0,
    streak=False,
    ghost=False,
    shift_pixel=None,
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


def test_field_is_repeatable_and_has_the_noise_asked_for() -> None:
    one, two = (make_field(SETTINGS, 200, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.electron, two.electron)
    np.testing.assert_array_equal(one.deposit, two.deposit)
    empty = one.electron[one.deposit == 0]
    assert empty.mean() == pytest.approx(33, abs=0.2)
    assert empty.std() == pytest.approx(np.sqrt(33 + 25), rel=0.03)
    assert np.allclose(empty / 1.1, np.rint(empty / 1.1), atol=1e-3)


def test_rate_sets_the_number_of_pixels_hit() -> None:
    hit = [
        (make_field(replace(SETTINGS, rate=rate), 500, np.random.default_rng(7)).deposit > 3).sum()
        for rate in (1, 4)
    ]
    assert hit[1] / hit[0] == pytest.approx(4, rel=0.5)


def test_hot_pixels_are_known_and_hold_no_deposit() -> None:
    patch = make_field(replace(SETTINGS, rate=0, hot_per_pixel=0.01), 100, np.random.default_rng(1))
    assert 50 < patch.unjudged.sum() < 150
    assert not patch.deposit.any()
    values = patch.electron[patch.unjudged]
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
    drawn = [draw_settings(Domain(), rng) for _ in range(300)]
    diffusion = [settings.silicon.diffusion_pixel for settings in drawn]
    assert min(diffusion) < 0.05
    assert max(diffusion) > 0.45
    assert all(2 <= settings.read_noise_electron <= 15 for settings in drawn)
    assert max(settings.psf.fwhm_pixel for settings in drawn) > 5
    assert max(settings.background_electron for settings in drawn) > 5000
    assert 0.05 < np.mean([settings.shift_pixel is not None for settings in drawn]) < 0.3


def test_resampling_makes_neighbours_share_noise_and_charge() -> None:
    sharp, soft = (
        make_field(replace(SETTINGS, shift_pixel=shift), 200, np.random.default_rng(5))
        for shift in (None, (0.5, 0.0))
    )
    empty = (soft.deposit == 0) & (np.roll(soft.deposit, 1, 0) == 0)
    noise = soft.electron - 33
    assert noise[empty].std() == pytest.approx(np.sqrt((33 + 25) / 2), rel=0.03)
    np.testing.assert_allclose(soft.sigma, sharp.sigma * np.sqrt(0.5), rtol=1e-5)
    together = np.mean((noise * np.roll(noise, 1, 0))[empty])
    assert together == pytest.approx(noise[empty].var() / 2, rel=0.1)
    assert soft.deposit.sum() == pytest.approx(sharp.deposit.sum(), rel=1e-4)


def test_domain_of_a_detector_has_the_sky_of_its_filter() -> None:
    table = {
        "read_noise_electron": 5.0,
        "dark_electron_per_s": 0.02,
        "full_well_electron": 9e4,
        "detectors": [{"number": 3, "filter": "u"}, {"number": 4, "filter": "r"}],
        "bands": {"u": {"sky_electron_per_s": 0.03}, "r": {"sky_electron_per_s": 0.36}},
    }
    faint, bright = (domain_of(table, number) for number in (3, 4))
    assert faint.background_electron[0] < 150 * 0.05 < faint.background_electron[1]
    assert bright.background_electron[0] < 150 * 0.38 < bright.background_electron[1]
    assert faint.read_noise_electron == pytest.approx((4.5, 5.5))
    assert faint.resampled_share == 0
    both = domain_of(table).background_electron
    assert both == (faint.background_electron[0], bright.background_electron[1])
    with pytest.raises(KeyError):
        domain_of(table, 5)


@pytest.mark.parametrize("draw", [draw_streak, draw_ghost])
def test_streaks_and_ghosts_add_light_wider_than_a_star(draw) -> None:
    plane = np.zeros((100, 120))
    draw(plane, SETTINGS.psf, np.random.default_rng(3))
    assert plane.min() >= 0
    assert plane.max() > 0.5
    assert max(np.abs(np.diff(plane, axis=axis)).max() for axis in (0, 1)) < 0.6 * plane.max()


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


def test_nearly_all_charge_of_particles_is_among_the_candidates() -> None:
    rng = np.random.default_rng(8)
    field = make_field(replace(SETTINGS, rate=3, stars_per_pixel=2e-4), 400, rng)
    window = slice(0, 400)
    level, noise = measure_background(field.electron).at(window, window)
    found = find_candidates(field.electron, level, noise)
    assert found[field.deposit > 3].mean() > 0.995
    assert found[field.deposit > 3 * field.sigma].mean() > 0.999
    assert found[field.deposit == 0].mean() < 0.03
    assert not find_candidates(level, level, noise).any()


def test_patches_are_centred_and_empty_outside_the_plane() -> None:
    plane = np.arange(1, 31, dtype=np.float32).reshape(5, 6)
    patches = gather(plane, np.array([2, 0]), np.array([3, 5]), 3)
    np.testing.assert_array_equal(patches[0], plane[1:4, 2:5])
    np.testing.assert_array_equal(patches[1], [[0, 0, 0], [5, 6, 0], [11, 12, 0]])


def test_traces_and_full_pixels_teach_nothing() -> None:
    field = make_field(replace(SETTINGS, rate=4), 200, np.random.default_rng(2))
    field.unjudged[:10] = True
    made = sample(field)
    trace = (field.deposit > 0.1) & (field.deposit <= 3)
    assert trace.any()
    assert not made.counts[trace].any()
    assert made.rows.min() >= 10
    np.testing.assert_array_equal(made.label == 1, field.deposit > 3)
    assert made.label[made.rows, made.columns].mean() > 0.2


def test_threshold_keeps_the_purity_asked_for() -> None:
    from csst_calib.training.calibrate import PURITY, choose

    rng = np.random.default_rng(4)
    hit = rng.uniform(size=100_000) < 0.1
    probability = np.clip(rng.normal(np.where(hit, 0.8, 0.2), 0.15), 0, 1).astype(np.float32)
    deposit = np.where(hit, 50, 0).astype(np.float32)
    chosen = choose(probability, deposit, np.full(hit.shape, 7, np.float32))
    assert chosen.purity == pytest.approx(PURITY, abs=1e-3)
    assert chosen.recall == pytest.approx((probability[hit] >= chosen.threshold).mean())


def test_deepcr_looks_no_farther_than_declared() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("deepCR")
    from csst_calib.training.network import ImageNetwork

    network = ImageNetwork().eval()
    reach = 0
    for row in (48, 49):
        scaled = torch.rand(1, 1, 100, 100, requires_grad=True)
        network(scaled)[0, 0, row, row].backward()
        touched = torch.nonzero(scaled.grad[0, 0])
        reach = max(reach, int((touched - row).abs().max()))
    assert reach <= network.receptive_field_pixel


@pytest.mark.parametrize(("name", "batch", "steps"), [("patch", 512, 60), ("deepcr", 1, 2)])
def test_training_improves_and_its_file_says_how_to_use_it(tmp_path, name, batch, steps) -> None:
    pytest.importorskip("torch").set_num_threads(1)
    pytest.importorskip("onnx")
    if name == "deepcr":
        pytest.importorskip("deepCR")
    from csst_calib.training.export import describe, export
    from csst_calib.training.network import NETWORKS
    from csst_calib.training.train import TrainingSettings, train

    losses = []
    settings = TrainingSettings(
        steps=steps, falling_steps=1, fields=4, batch=batch, averaged_steps=10
    )
    domain = Domain(rate=(1, 1), stars_per_pixel=(1e-5, 2e-5), galaxies_per_pixel=(1e-5, 2e-5))
    network = train(
        NETWORKS[name](), domain, settings, lambda step, loss, _: losses.append(loss), every=20
    )
    assert name == "deepcr" or losses[-1] < 0.7 * losses[0]
    path = tmp_path / "small.onnx"
    export(network, path, inputs(domain, 13, 2, 3))
    describe(path, {"threshold": "0.4"})
    opened = open_network(Onnx(path))
    assert opened.threshold == 0.4
    field = make_field(replace(SETTINGS, rate=4), 64, np.random.default_rng(1))
    level, noise = measure_background(field.electron).at(slice(0, 64), slice(0, 64))
    values = opened.probability(field.electron, level, noise, np.zeros((64, 64), bool))
    assert values.shape == (64, 64)
    assert values.min() >= 0
    assert 0 < values.max() <= 1
    if name == "patch":
        hit = field.deposit > 3
        assert values[hit].mean() > 2 * values[field.deposit == 0].mean()


def test_weights_come_back_from_a_file_and_only_into_the_same_network(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from csst_calib.training.export import export, load_weights
    from csst_calib.training.network import PatchNetwork

    network, again = PatchNetwork(), PatchNetwork()
    export(network, tmp_path / "patch.onnx", inputs(Domain(), 13, 2, 3))
    load_weights(again, tmp_path / "patch.onnx")
    for one, two in zip(network.parameters(), again.parameters(), strict=True):
        before, after = one.detach().numpy(), two.detach().numpy()
        np.testing.assert_allclose(after, before, atol=0.01 * np.abs(before).max())
    with pytest.raises(ValueError, match=r"no network of this architecture: 0\.weight"):
        load_weights(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "patch.onnx")
