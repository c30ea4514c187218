from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from astropy.time import Time

from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.products import Meta
from csstcore.references.choose import Entry, RuleSet, choose
from csstcore.references.rules import Rule, parse_rules

PATH = Path("rules/calib.bias.toml")
OLD, NEW = (
    Entry(
        "calib.bias",
        Rule(file=name, useafter=datetime(2027, month, 1, tzinfo=UTC)),
        Path(name),
        "store",
        PATH,
        number,
        nearest=True,
    )
    for number, (name, month) in enumerate((("old", 1), ("new", 3)), 1)
)


def best(time: str | None) -> str:
    meta = Meta(time=None if time is None else Time(time))
    return choose("calib.bias", [RuleSet([OLD, NEW])], meta).path.name


@pytest.mark.parametrize(
    ("time", "expected"),
    [("2026-06-01", "old"), ("2027-01-20", "old"), ("2027-02-20", "new"), ("2027-12-01", "new")],
)
def test_the_nearest_rule_wins_before_or_after(time: str, expected: str) -> None:
    assert best(time) == expected


def test_rules_as_near_in_time_are_ambiguous() -> None:
    with pytest.raises(ReferenceFileError, match="match as near in time"):
        best("2027-01-30T12:00:00")


def test_without_a_time_nothing_is_near() -> None:
    with pytest.raises(ReferenceFileError, match="the observation has no time"):
        best(None)


def test_every_rule_needs_its_time() -> None:
    text = b'[reference]\ntype = "calib.bias"\nnearest = true\n[[rule]]\nfile = "a"\n'
    with pytest.raises(ConfigurationError, match="rule 1, useafter: missing"):
        parse_rules(text, PATH, "calib.bias", need_sha256=False)


def test_rule_files_that_disagree_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="nearest and partition must be the same"):
        RuleSet([OLD, replace(NEW, nearest=False)])
