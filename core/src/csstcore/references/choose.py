"""The best reference for an observation: a pure function of rules and `Meta`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from csstcore.errors import ReferenceFileError
from csstcore.products.meta import META_TIMES, Meta
from csstcore.references.observation import Observation
from csstcore.references.rules import Condition, Range, Rule, instant

Source = Literal["store", "shipped", "override"]
_ALWAYS: Final = float("-inf")


class NoReferenceError(ReferenceFileError):
    """No rule matches: what an optional reference may be."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A reference file chosen for an observation, and why."""

    type: str
    """Full name of the reference type."""
    path: Path
    sha256: str
    """Checksum that the file must have."""
    source: Source
    rules: Path | None = None
    """The rule file that chose it; None for an override."""
    rule: int | None = None
    """Number of the rule in that file, from 1."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule in force, where it stands, and the file it names."""

    type: str
    rule: Rule
    path: Path
    source: Source
    rules: Path
    number: int

    def __str__(self) -> str:
        return f"rule {self.number} of {self.rules} ({self.rule.file})"

    @property
    def start(self) -> float:
        """Start of validity in microseconds since 1970; minus infinity if always."""
        return _ALWAYS if self.rule.useafter is None else instant(self.rule.useafter)


class RuleSet:
    """Rules of one reference type, prepared for fast choosing.

    Every rule is one bit, in the order of `useafter`; every field has, for each value, the
    bits of the rules that accept it. A choice is a handful of ``and`` operations.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.start)
        self._starts = [entry.start for entry in self.entries]
        self._accepting: dict[str, dict[object, int]] = {}
        self._indifferent: dict[str, int] = {}
        self._ranges: list[list[tuple[str, Range]]] = []
        for index, entry in enumerate(self.entries):
            self._ranges.append([])
            for field, condition in entry.rule.match.items():
                if isinstance(condition, Range):
                    self._ranges[index].append((field, condition))
                    continue
                accepting = self._accepting.setdefault(field, {})
                self._indifferent[field] = self._indifferent.get(field, -1) & ~(1 << index)
                for value in condition:
                    key = _comparable(value)
                    accepting[key] = accepting.get(key, 0) | 1 << index

    def best(self, observation: Observation) -> list[Entry]:
        """Return the matching rules of the latest `useafter`: one, several if ambiguous, none."""
        time = observation["time"]
        valid = bisect_right(self._starts, _ALWAYS if time is None else time)
        matching = (1 << valid) - 1
        for field, accepting in self._accepting.items():
            matching &= accepting.get(observation[field], 0) | self._indifferent[field]
        best: list[Entry] = []
        earliest = 0
        while matching:
            index = matching.bit_length() - 1
            if index < earliest:
                break
            if all(accepts(limits, observation[field]) for field, limits in self._ranges[index]):
                best.append(self.entries[index])
                earliest = bisect_left(self._starts, self._starts[index])
            matching ^= 1 << index
        return best[::-1]

    def fields(self) -> list[str]:
        """Return the fields of `Meta` that any rule looks at, in the order of the rules."""
        return list(dict.fromkeys(field for entry in self.entries for field in entry.rule.match))


def choose(reference_type: str, tiers: Sequence[RuleSet], meta: Meta | Observation) -> Choice:
    """Choose the best reference for an observation.

    The first of `tiers` with a matching rule decides; in it the latest `useafter` not after
    the start of the exposure wins.

    Parameters
    ----------
    reference_type
        Full name of the reference type, for the choice and for messages.
    tiers
        Rules in the order of precedence: the store's, then those shipped with plugins.
    meta
        Of the input as read.

    Raises
    ------
    NoReferenceError
        If no rule matches; the message names the closest one and why it failed.
    ReferenceFileError
        If several rules with the same `useafter` match.
    """
    observation = meta if isinstance(meta, Observation) else Observation(meta)
    for rules in tiers:
        best = rules.best(observation)
        if len(best) > 1:
            raise ReferenceFileError(
                f"{reference_type}: ambiguous for {_described(tiers, observation)}: "
                f"{' and '.join(map(str, best))} match with the same useafter"
            )
        if best:
            entry = best[0]
            sha256 = entry.rule.sha256 or ""
            return Choice(
                reference_type, entry.path, sha256, entry.source, entry.rules, entry.number
            )
    raise NoReferenceError(_no_match(reference_type, tiers, observation))


def failures(entry: Entry, observation: Observation) -> list[str]:
    """Return why a rule does not match an observation, one reason per field; empty if it does."""
    reasons = [
        f"it wants {field} {_expected(condition)}, the observation has {observation.text(field)}"
        for field, condition in entry.rule.match.items()
        if not accepts(condition, observation[field])
    ]
    time = observation["time"]
    if entry.rule.useafter is not None and (time is None or time < entry.start):
        found = "no time" if time is None else f"time {_iso(time)}"
        reasons.append(
            f"it is valid from {entry.rule.useafter.isoformat()}, the observation has {found}"
        )
    return reasons


def accepts(condition: Condition, value: object) -> bool:
    """Return whether a condition of a rule holds for a value of an observation."""
    if not isinstance(condition, Range):
        return any(_comparable(alternative) == value for alternative in condition)
    if not isinstance(value, (int, float)):
        return False
    low = _ALWAYS if condition.minimum is None else instant(condition.minimum)
    high = float("inf") if condition.maximum is None else instant(condition.maximum)
    return low <= value <= high


def overlap(first: Rule, second: Rule) -> bool:
    """Return whether some observation could match both rules with the same `useafter`."""
    return first.useafter == second.useafter and all(
        _share_a_value(first.match[field], second.match[field])
        for field in first.match.keys() & second.match.keys()
    )


def _share_a_value(first: Condition, second: Condition) -> bool:
    if not isinstance(first, Range):
        return any(accepts(second, _comparable(value)) for value in first)
    if not isinstance(second, Range):
        return _share_a_value(second, first)
    lows = [instant(limits.minimum) for limits in (first, second) if limits.minimum is not None]
    highs = [instant(limits.maximum) for limits in (first, second) if limits.maximum is not None]
    return max(lows, default=_ALWAYS) <= min(highs, default=float("inf"))


def _comparable(value: object) -> object:
    return instant(value) if isinstance(value, datetime) else value


def _no_match(reference_type: str, tiers: Sequence[RuleSet], observation: Observation) -> str:
    entries = [entry for rules in tiers for entry in rules.entries]
    if not entries:
        return f"{reference_type}: there are no rules for it"
    closest = min(entries, key=lambda entry: len(failures(entry, observation)))
    reasons = "; ".join(failures(closest, observation))
    return (
        f"{reference_type}: none of {len(entries)} rules matches "
        f"{_described(tiers, observation)}; closest is {closest}: {reasons}"
    )


def _described(tiers: Sequence[RuleSet], observation: Observation) -> str:
    used = [field for rules in tiers for field in rules.fields() if field not in META_TIMES]
    fields = dict.fromkeys(["obs_id", *used, "time"])
    return ", ".join(observation.text(field) for field in fields)


def _expected(condition: Condition) -> str:
    if not isinstance(condition, Range):
        return " or ".join(map(_shown, condition))
    low, high = condition.minimum, condition.maximum
    if low is None:
        return f"up to {_shown(high)}"
    return f"from {_shown(low)}" + ("" if high is None else f" to {_shown(high)}")


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def _iso(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat()
