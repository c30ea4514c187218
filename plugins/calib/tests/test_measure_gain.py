import astropy.units as u
import numpy as np
import pytest

from csst_calib.stages.measure_gain import measure_gain
from csstcore.api import UnprocessableData
from csstcore.notes import collecting

FRAMES = 4


@pytest.fixture
def hidden(rng, readout):
    """Gains and read noises (electron) that the stage does not see."""
    return rng.uniform(1.0, 1.3, readout.channels), rng.uniform(3.5, 6.5, readout.channels)


def expose(make_image, rng, readout, hidden, electrons, seconds, brighter_fatter=0.0):
    """Frame in adu with fixed pattern; `brighter_fatter` lowers the variance by bf x mean^2."""
    data = np.empty(readout.shape)
    pattern = np.random.default_rng(3).normal(1.0, 0.01, readout.shape)
    for channel, gain, noise in zip(readout, *hidden, strict=True):
        mean = electrons * pattern[channel.active]
        sigma = np.sqrt(np.maximum(mean - brighter_fatter * mean**2, 0.0) + noise**2)
        data[channel.active] = (mean + rng.normal(0.0, 1.0, mean.shape) * sigma) / gain
    cosmic_rays = rng.random(readout.shape) < 0.001
    return make_image((data + 3000.0 * cosmic_rays).round(), u.adu, seconds)


def test_gain_and_read_noise_are_found_within_their_errors(
    make_image, rng, readout, hidden
) -> None:
    ramp = [level for level in (5000.0, 15000.0, 30000.0, 50000.0) for _ in range(FRAMES)]
    flats = [expose(make_image, rng, readout, hidden, level, level / 1e4, 1.5e-6) for level in ramp]
    biases = [expose(make_image, rng, readout, hidden, 0.0, 0.0) for _ in range(6)]
    table = measure_gain(flats, biases, readout).table
    gain, noise = hidden
    assert table["channel"].tolist() == list(range(1, 9))
    pull = (table["gain"].value - gain) / table["gain_error"].value
    assert np.abs(pull).max() < 4.0
    assert 0.4 < pull.std() < 2.0
    assert table["gain"].value == pytest.approx(gain, rel=0.03)
    noise_pull = (table["read_noise"].value - noise) / table["read_noise_error"].value
    assert np.abs(noise_pull).max() < 4.0


def test_one_level_gives_a_gain_with_a_caveat(make_image, rng, readout, hidden) -> None:
    flats = [expose(make_image, rng, readout, hidden, 20000.0, 2.0) for _ in range(6)]
    biases = [expose(make_image, rng, readout, hidden, 0.0, 0.0) for _ in range(4)]
    with collecting() as notes:
        table = measure_gain(flats, biases, readout).table
    assert table["gain"].value == pytest.approx(hidden[0], rel=0.06)
    assert "brighter-fatter slope is taken as 0" in notes.caveats[0]
    assert notes.metrics["median_gain"] == pytest.approx(np.median(hidden[0]), rel=0.03)


def test_a_drifting_lamp_does_not_matter(make_image, rng, readout, hidden) -> None:
    flats = [expose(make_image, rng, readout, hidden, 20000.0 + 900 * n, 2.0) for n in range(6)]
    biases = [expose(make_image, rng, readout, hidden, 0.0, 0.0) for _ in range(4)]
    table = measure_gain(flats, biases, readout).table
    assert table["gain"].value == pytest.approx(hidden[0], rel=0.06)


def test_frames_without_a_partner_are_refused(make_image, readout) -> None:
    flats = [make_image(9.0, u.adu, seconds) for seconds in (1.0, 2.0)]
    with pytest.raises(UnprocessableData, match="2 flat and 2 bias frames; expected at least two"):
        measure_gain(flats, [make_image(0.0, u.adu, 0.0)] * 2, readout)


def test_flats_without_photon_noise_are_refused(make_image, readout, rng) -> None:
    flats = [make_image(9.0, u.adu) for _ in range(2)]
    biases = [make_image(rng.normal(0, 5, readout.shape), u.adu, 0.0) for _ in range(2)]
    with pytest.raises(UnprocessableData, match=r"channel 1: .* expected photon noise"):
        measure_gain(flats, biases, readout)
