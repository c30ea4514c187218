"""Which rules are compared with each other when a store is checked."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np

from csstcore.references.audit import _near_pairs
from csstcore.references.choose import Entry, overlap
from csstcore.references.rules import Rule


def entries(matches: list[dict[str, object]]) -> list[Entry]:
    return [
        Entry("calib.bias", Rule(file=f"b{n}.fits", match=match), Path(), "store", Path(), n)
        for n, match in enumerate(matches)
    ]


def test_no_pair_that_overlaps_is_missed() -> None:
    rng = np.random.default_rng(1)
    matches: list[dict[str, object]] = []
    for _ in range(150):
        match: dict[str, object] = {"detector": rng.integers(1, 9, 2).tolist()}
        if rng.random() < 0.7:
            match["filter"] = rng.choice(["g", "r", "i"], 2).tolist()
        if rng.random() < 0.7:
            low = float(rng.uniform(0, 100))
            match["exposure_time"] = {"minimum": low, "maximum": low + 20.0}
        matches.append(match)
    rules = entries(matches)
    expected = {(a.number, b.number) for a, b in combinations(rules, 2) if overlap(a.rule, b.rule)}
    pairs = _near_pairs(rules, frozenset(rules[0].rule.match))
    assert {(a.number, b.number) for a, b in pairs if overlap(a.rule, b.rule)} == expected
    assert expected


def test_rules_of_other_detectors_are_not_compared() -> None:
    rules = entries([{"detector": [n % 30], "filter": [f"f{n // 30}"]} for n in range(6000)])
    assert sum(1 for _ in _near_pairs(rules, frozenset(rules[0].rule.match))) == 0
