"""What a series of products has in common."""

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from csstcore.api import Image, Meta, common_meta, note_frames
from csstcore.notes import collecting

START = Time("2027-08-10T08:00:00", scale="utc")


def meta(minute: float, **facts) -> Meta:
    time = START + minute * u.min
    return Meta(instrument="TEST", obs_id=f"{minute:03.0f}", time=time, end_time=time, **facts)


def test_shared_facts_stay_and_others_become_none() -> None:
    gain = [1.1, 1.2] * u.electron / u.adu
    found = common_meta([meta(5, gain=gain, detector=7), meta(0, gain=gain, detector=8), meta(9)])
    assert found.instrument == "TEST"
    assert found.gain is None
    assert found.detector is None
    both = common_meta([meta(0, gain=gain), meta(1, gain=gain * (1 + 1e-9))])
    np.testing.assert_allclose(both.gain.value, gain.value)


def test_times_span_the_series() -> None:
    found = common_meta([meta(5), meta(0), meta(9)])
    assert found.time == START
    assert (found.end_time - START).to_value(u.min) == pytest.approx(9)


def test_number_and_first_and_last_observation_are_noted() -> None:
    images = [Image(np.zeros((1, 1)), meta=each) for each in (meta(5), meta(0), meta(9))]
    with collecting() as notes:
        note_frames(images[:1], images[1:])
    expected = {"combined_frames": 3, "first_obs_id": "000", "last_obs_id": "009"}
    assert notes.metrics == expected
