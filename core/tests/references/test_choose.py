from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from csstcore.errors import ReferenceFileError
from csstcore.products import Meta
from csstcore.references.choose import (
    Choice,
    Entry,
    NoReferenceError,
    RuleSet,
    choose,
    failures,
    overlap,
)
from csstcore.references.observation import Observation
from csstcore.references.rules import Rule

JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
JUNE = datetime(2027, 6, 1, tzinfo=UTC)


def rule(file: str, useafter: datetime | None = None, **match: Any) -> Rule:
    return Rule(file=file, sha256="0" * 64, match=match, useafter=useafter)


def rule_set(*rules: Rule) -> RuleSet:
    path = Path("rules/calib.bias.toml")
    return RuleSet(
        Entry("calib.bias", each, Path("files") / each.file, "store", path, number)
        for number, each in enumerate(rules, 1)
    )


def best(meta: Meta, *rules: Rule) -> str:
    return choose("calib.bias", [rule_set(*rules)], meta).path.name


def observed(**fields: Any) -> Meta:
    return Meta(**{"instrument": "MSC", "detector": 7, "time": Time("2027-03-01")} | fields)


def test_the_rule_whose_values_match_is_chosen() -> None:
    rules = rule("6", detector=6), rule("7", detector=7), rule("8", detector=[8, 9])
    assert best(observed(detector=7), *rules) == "7"
    assert best(observed(detector=9), *rules) == "8"


def test_a_choice_says_which_rule_it_comes_from() -> None:
    chosen = choose("calib.bias", [rule_set(rule("6", detector=6), rule("7"))], observed())
    assert chosen == Choice(
        "calib.bias", Path("files/7"), "0" * 64, "store", Path("rules/calib.bias.toml"), 2
    )


def test_the_latest_useafter_before_the_exposure_wins() -> None:
    rules = rule("june", JUNE), rule("january", JANUARY), rule("always")
    assert best(observed(time=Time("2026-12-31")), *rules) == "always"
    assert best(observed(time=Time("2027-05-31")), *rules) == "january"
    assert best(observed(time=Time("2027-06-02")), *rules) == "june"


@pytest.mark.parametrize("microsecond", [0, 1, 123_456, 999_999])
def test_useafter_includes_its_own_instant_to_the_microsecond(microsecond: int) -> None:
    start = datetime(2027, 6, 17, 13, 4, 59, microsecond, tzinfo=UTC)
    rules = rule("new", start), rule("old")
    assert best(observed(time=Time(start)), *rules) == "new"
    assert best(observed(time=Time(start - timedelta(microseconds=1))), *rules) == "old"


def test_other_time_scales_are_compared_in_utc() -> None:
    rules = rule("new", JANUARY), rule("old")
    assert best(observed(time=Time("2027-01-01T00:00:30", scale="tai")), *rules) == "old"


def test_ranges_include_their_ends_and_use_the_units_of_meta() -> None:
    cold, warm = {"maximum": 180.0}, {"minimum": 180.5}
    rules = rule("cold", temperature=cold), rule("warm", temperature=warm)
    assert best(observed(temperature=180.0 * u.K), *rules) == "cold"
    assert best(observed(temperature=180.5e3 * u.mK), *rules) == "warm"


def test_a_range_of_time_closes_a_period() -> None:
    period = rule("period", time={"minimum": JANUARY, "maximum": JUNE})
    assert best(observed(), period) == "period"
    with pytest.raises(ReferenceFileError, match="it wants time from 2027-01-01"):
        best(observed(time=Time("2027-07-01")), period)


def test_one_value_per_channel_never_equals_one_value() -> None:
    per_channel = observed(gain=np.full(16, 1.1) * u.electron / u.adu)
    with pytest.raises(ReferenceFileError, match="it wants gain"):
        best(per_channel, rule("a", gain=1.1))
    with pytest.raises(ReferenceFileError, match="it wants gain"):
        best(per_channel, rule("a", gain={"minimum": 1.0}))


def test_a_tie_is_an_error_that_names_the_rules() -> None:
    rules = rule("a", JANUARY, detector=[6, 7]), rule("b", JANUARY, instrument="MSC")
    with pytest.raises(ReferenceFileError) as caught:
        best(observed(), *rules)
    assert "rule 1 of rules/calib.bias.toml (a) and rule 2 of rules/calib.bias.toml (b)" in str(
        caught.value
    )
    assert best(observed(detector=8), *rules) == "b"


def test_a_tie_is_harmless_when_a_later_rule_wins() -> None:
    assert best(observed(), rule("a"), rule("b"), rule("c", JANUARY)) == "c"


def test_a_range_that_fails_leaves_the_older_rule() -> None:
    new = rule("new", JANUARY, temperature={"maximum": 150})
    assert best(observed(temperature=180 * u.K), new, rule("old")) == "old"


def test_no_match_names_the_closest_rule_and_why_it_failed() -> None:
    rules = rule("6", detector=6), rule("other", JUNE, detector=8, instrument="IFS")
    with pytest.raises(NoReferenceError) as caught:
        best(observed(), *rules)
    assert "none of 2 rules matches" in str(caught.value)
    assert "closest is rule 1" in str(caught.value)
    assert "it wants detector 6, the observation has detector 7" in str(caught.value)


def test_what_the_observation_does_not_give_is_named() -> None:
    with pytest.raises(ReferenceFileError, match="the observation has no detector"):
        best(Meta(), rule("6", detector=6))
    with pytest.raises(ReferenceFileError, match="the observation has no time"):
        best(Meta(), rule("6", JANUARY))


def test_too_early_is_said() -> None:
    with pytest.raises(ReferenceFileError, match=r"valid from 2027-06-01.*has time 2027-03-01"):
        best(observed(), rule("june", JUNE))


def test_no_rules_at_all_says_how_to_add_one() -> None:
    with pytest.raises(ReferenceFileError, match="there are no rules"):
        choose("calib.bias", [rule_set(), rule_set()], observed())


def test_the_first_tier_with_a_match_decides() -> None:
    store, shipped = rule_set(rule("stored", detector=6)), rule_set(rule("shipped", JANUARY))
    assert choose("t", [store, shipped], observed(detector=6)).path.name == "stored"
    assert choose("t", [store, shipped], observed(detector=7)).path.name == "shipped"


def test_the_bit_search_agrees_with_a_plain_search() -> None:
    rng = np.random.default_rng(4)
    rules = [
        rule(
            str(index),
            JANUARY + timedelta(days=int(rng.integers(200))) if index % 3 else None,
            **{"detector": [int(d) for d in rng.integers(1, 6, 2)]} if index % 2 else {},
            **{"filter": str(rng.choice(list("gri")))} if index % 4 else {},
            **{"temperature": {"minimum": float(rng.integers(150, 190))}} if index % 5 else {},
        )
        for index in range(80)
    ]
    compiled = rule_set(*rules)
    found = 0
    for _ in range(300):
        observation = Observation(
            observed(
                detector=int(rng.integers(1, 7)),
                filter=str(rng.choice(list("grix"))),
                temperature=float(rng.uniform(140, 200)) * u.K,
                time=Time(JANUARY + timedelta(days=float(rng.uniform(-20, 220)))),
            )
        )
        matching = [entry for entry in compiled.entries if not failures(entry, observation)]
        latest = max((entry.start for entry in matching), default=None)
        expected = [entry for entry in matching if entry.start == latest]
        assert compiled.best(observation) == expected
        found += bool(expected)
    assert found > 250


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"detector": 6}, {"detector": 7}, False),
        ({"detector": [6, 7]}, {"detector": [7, 8]}, True),
        ({"detector": 6}, {"filter": "g"}, True),
        ({"temperature": {"maximum": 150}}, {"temperature": {"minimum": 151}}, False),
        ({"temperature": {"maximum": 150}}, {"temperature": {"minimum": 150}}, True),
        ({"temperature": {"maximum": 150}}, {"temperature": 149.0}, True),
        ({"temperature": 151.0}, {"temperature": {"maximum": 150}}, False),
    ],
)
def test_overlap_says_whether_two_rules_could_clash(
    first: dict[str, Any], second: dict[str, Any], expected: bool
) -> None:
    assert overlap(rule("a", **first), rule("b", **second)) is expected
    assert not overlap(rule("a", JANUARY, **first), rule("b", **second))
