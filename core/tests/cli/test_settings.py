"""``--set``: TOML values, bare strings, and what is neither."""

import pytest

from csstcore.cli.refs.options import match_of
from csstcore.cli.settings import parse_settings
from csstcore.errors import ConfigurationError

DEEP = "[" * 100_000


def test_a_value_is_toml_or_a_bare_string():
    assert parse_settings(["a.x=3", "a.y=[1, 2]", "a.z=lacosmic"]) == {
        "a.x": 3,
        "a.y": [1, 2],
        "a.z": "lacosmic",
    }


@pytest.mark.parametrize("item", ["a=3", "a.x", "a.x=1"])
def test_another_form_and_a_repetition_are_refused(item):
    with pytest.raises(ConfigurationError, match="--set"):
        parse_settings(["a.x=2", item])


def test_a_value_that_is_nested_too_deeply_is_refused():
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        parse_settings([f"a.x={DEEP}"])
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        match_of([f"detector={DEEP}"])


def test_a_number_of_too_many_digits_stays_text():
    digits = "9" * 5000
    assert parse_settings([f"a.x={digits}"]) == {"a.x": digits}
    assert match_of([f"obs_id={digits}"]) == {"obs_id": digits}
