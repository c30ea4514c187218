from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from csstcore.errors import ConfigurationError
from csstcore.references.rules import Range, read_rules

HEAD = '[reference]\ntype = "calib.bias"\n'
DIGEST = "0123456789abcdef" * 4


def rules(path: Path, text: str, *, need_sha256: bool = False):  # type: ignore[no-untyped-def]
    file = path / "calib.bias.toml"
    file.write_text(text)
    return read_rules(file, "calib.bias", need_sha256=need_sha256)


def test_values_alternatives_ranges_and_times_are_read(tmp_path: Path) -> None:
    (rule,) = rules(
        tmp_path,
        HEAD + f'[[rule]]\nfile = "a.fits"\nsha256 = "{DIGEST}"\nuseafter = 2027-01-01\n'
        'match = { instrument = "MSC", detector = [6, 7], temperature = { minimum = 180 } }\n',
        need_sha256=True,
    ).rule
    assert rule.match == {
        "instrument": ("MSC",),
        "detector": (6, 7),
        "temperature": Range(minimum=180.0),
    }
    assert rule.useafter == datetime(2027, 1, 1, tzinfo=UTC)


def test_an_offset_is_converted_to_utc(tmp_path: Path) -> None:
    text = HEAD + '[[rule]]\nfile = "a"\nuseafter = 2027-01-01T08:00:00+08:00\n'
    assert rules(tmp_path, text).rule[0].useafter == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ('file = "../../etc/passwd"', "inside the folder"),
        ('file = "/etc/passwd"', "inside the folder"),
        ('file = ""', "inside the folder"),
        ('file = "a"\nsha256 = "abc"', "rule 1, sha256"),
        ('file = "a"\nmatch = { detektor = 7 }', "did you mean 'detector'"),
        ('file = "a"\nmatch = { detector = 7.5 }', "expected a whole number"),
        ('file = "a"\nmatch = { detector = true }', "expected a whole number"),
        ('file = "a"\nmatch = { instrument = 5 }', "expected a string"),
        ('file = "a"\nmatch = { instrument = [] }', "an empty list matches nothing"),
        ('file = "a"\nmatch = { temperature = "cold" }', "expected a number in K"),
        ('file = "a"\nmatch = { temperature = nan }', "expected a number in K"),
        ('file = "a"\nmatch = { temperature = { above = 3 } }', "minimum and/or maximum"),
        ('file = "a"\nmatch = { temperature = { minimum = 9, maximum = 8 } }', "above maximum"),
        ('file = "a"\nmatch = { filter = { minimum = "g" } }', "needs numbers or times"),
        ('file = "a"\nmatch = 3', "expected a table"),
        ('file = "a"\nuseafter = "tomorrow"', "expected a date and time"),
        ('file = "a"\nuseafter = 5', "expected a date and time"),
        ('file = "a"\nuseafter = 0001-01-01T00:00:00+08:00', "outside the years 1 to 9999"),
        ('file = "a"\nweight = 5', "weight: Extra inputs"),
        ("sha256 = 'x'", "rule 1, file: Field required"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_cause(tmp_path: Path, rule: str, cause: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rules(tmp_path, f"{HEAD}[[rule]]\n{rule}\n")
    assert cause in str(caught.value)
    assert "calib.bias.toml" in str(caught.value)


def test_all_problems_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rules(tmp_path, HEAD + "[[rule]]\nfil = 3\n[[rule]]\nfile = 'a'\nuseafter = 1\n")
    message = str(caught.value)
    assert "rule 1, file" in message
    assert "rule 1, fil:" in message
    assert "rule 2, useafter" in message


def test_a_store_must_give_checksums(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="rule 1, sha256: missing"):
        rules(tmp_path, HEAD + '[[rule]]\nfile = "a"\n', need_sha256=True)


def test_a_file_about_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"found 'calib\.dark', not 'calib\.bias'"):
        rules(tmp_path, '[reference]\ntype = "calib.dark"\n')


@pytest.mark.parametrize("text", ["[reference", "\ufeff[[[", "a = 1\na = 2"])
def test_text_that_is_not_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        rules(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file"):
        read_rules(tmp_path / "none.toml", "calib.bias", need_sha256=False)
