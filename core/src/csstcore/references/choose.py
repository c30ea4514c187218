"""The best reference for an observation: a pure function of rules and `Meta`."""

from __future__ import annotations

import dataclasses
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.products.meta import META_TIMES, Meta
from csstcore.references.contract import Contract
from csstcore.references.observation import CELL, Observation
from csstcore.references.partition import Partition
from csstcore.references.rules import Condition, Range, Rule, instant, toml_value

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
    contract: Contract | None = None
    """What a network must take and give."""
    parts: tuple[Choice, ...] = ()
    """The files of a partitioned type, if there are several; `path` is the first of them."""
    stored: str = ""
    """Name of the file in its store; empty for a file that is in none."""
    match: Mapping[str, Condition] = dataclasses.field(default_factory=dict, compare=False)
    """What the rule wants of an observation; the file's own header must not contradict it."""

    @classmethod
    def of_parts(cls, parts: Sequence[Choice]) -> Choice:
        """Return the choice of several files; one alone stays what it is."""
        if len(parts) == 1:
            return parts[0]
        digests = "".join(part.sha256 for part in parts).encode()
        sha256 = hashlib.sha256(digests).hexdigest()
        return replace(parts[0], sha256=sha256, rule=None, parts=tuple(parts))

    @property
    def files(self) -> tuple[Choice, ...]:
        """The chosen files, one by one."""
        return self.parts or (self,)

    @property
    def name(self) -> str:
        """Name of the file, or names of the files, for headers and records."""
        return ", ".join(part.path.name for part in self.files)


MATCHED: Final = ("instrument", "detector", "readout", "filter")
"""Fields of Meta that a new rule matches by default."""


@dataclass(frozen=True)
class Entry:
    """A rule in force, where it stands, and the file it names."""

    type: str
    rule: Rule
    path: Path
    source: Source
    rules: Path
    number: int
    nearest: bool = False
    partition: Partition | None = None
    stored: str = ""
    """Name of the file in its store."""

    def __str__(self) -> str:
        return f"rule {self.number} of {self.rules} ({self.rule.file})"

    @cached_property
    def start(self) -> float:
        """Start of validity in microseconds since 1970; minus infinity if always."""
        return _ALWAYS if self.rule.useafter is None else instant(self.rule.useafter)

    @cached_property
    def choice(self) -> Choice:
        """The file as a choice of this rule."""
        return Choice(
            self.type,
            self.path,
            self.rule.sha256 or "",
            self.source,
            self.rules,
            self.number,
            self.rule.contract,
            stored=self.stored,
            match=self.rule.match,
        )


class RuleSet:
    """Rules of one reference type, prepared for fast choosing.

    Every rule is one bit, in the order of `useafter`; every field has, for each value, the
    bits of the rules that accept it. A choice is a handful of ``and`` operations.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.start)
        ways = {(entry.nearest, entry.partition) for entry in self.entries} or {(False, None)}
        if len(ways) > 1:
            files = " and ".join(dict.fromkeys(str(entry.rules) for entry in self.entries))
            raise ConfigurationError(f"{files}: nearest and partition must be the same in all")
        ((self.nearest, self.partition),) = ways
        self._starts = [entry.start for entry in self.entries]
        accepting: dict[str, dict[object, int]] = {}
        indifferent: dict[str, int] = {}
        self._ranges: list[list[tuple[str, Range]]] = []
        for index, entry in enumerate(self.entries):
            self._ranges.append([])
            for field, condition in entry.rule.match.items():
                if isinstance(condition, Range):
                    self._ranges[index].append((field, condition))
                    continue
                values = accepting.setdefault(field, {})
                indifferent[field] = indifferent.get(field, -1) & ~(1 << index)
                for key in map(_comparable, condition):
                    values[key] = values.get(key, 0) | 1 << index
        self._fields = [
            (field, {key: bits | rest for key, bits in accepting[field].items()}.get, rest)
            for field, rest in indifferent.items()
        ]

    def best(self, observation: Observation) -> list[Entry]:
        """Return the matching rules of the best `useafter`: one, several if ambiguous, none."""
        time = observation["time"]
        if self.nearest:
            valid = 0 if time is None else len(self.entries)
        else:
            valid = bisect_right(self._starts, _ALWAYS if time is None else time)
        matching = (1 << valid) - 1
        for field, accepting, indifferent in self._fields:
            matching &= accepting(observation[field], indifferent)
        best: list[Entry] = []
        while matching:
            index = matching.bit_length() - 1
            if best and self._starts[index] != best[0].start and not self.nearest:
                break
            ranges = self._ranges[index]
            if not ranges or all(accepts(limits, observation[field]) for field, limits in ranges):
                best.append(self.entries[index])
            matching ^= 1 << index
        if self.nearest and best:
            least = min(abs(entry.start - time) for entry in best)
            best = [entry for entry in best if abs(entry.start - time) == least]
        return best[::-1]

    def views(self, observation: Observation) -> list[Observation]:
        """Return the observation, for a partitioned type once for every cell it touches."""
        if self.partition is None:
            return [observation]
        return [observation.at(cell) for cell in self.partition.cells(observation.meta)]

    def fields(self) -> list[str]:
        """Return the fields of `Meta` that any rule looks at, in the order of the rules."""
        return list(dict.fromkeys(field for entry in self.entries for field in entry.rule.match))


def choose(reference_type: str, tiers: Sequence[RuleSet], meta: Meta | Observation) -> Choice:
    """Choose the best reference for an observation.

    The first of `tiers` with a matching rule decides; in it the latest `useafter` not after
    the start of the exposure wins, or the nearest one if the rules say so. Of a partitioned
    type there is one file for every cell that the observation touches.

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
        If several rules match equally well, or there is a file for some cells only.
    """
    observation = meta if isinstance(meta, Observation) else Observation(meta)
    seen = observation
    for rules in tiers:
        if rules.partition is None:
            entry = _only(reference_type, tiers, rules, observation)
            if entry is not None:
                return entry.choice
            continue
        found = {
            view: _only(reference_type, tiers, rules, view) for view in rules.views(observation)
        }
        missing = [view for view, entry in found.items() if entry is None]
        chosen = {entry.path: entry.choice for entry in found.values() if entry is not None}
        if chosen and missing:
            cells = ", ".join(str(view[CELL]) for view in missing)
            raise ReferenceFileError(
                f"{reference_type}: no rule for cell {cells}, which "
                f"{_described(tiers, observation)} touches"
            )
        if chosen:
            return Choice.of_parts(list(chosen.values()))
        seen = next(iter(missing), seen)
    raise NoReferenceError(_no_match(reference_type, tiers, seen))


def _only(
    reference_type: str, tiers: Sequence[RuleSet], rules: RuleSet, observation: Observation
) -> Entry | None:
    """Return the one best rule, None if none matches."""
    best = rules.best(observation)
    if len(best) > 1:
        alike = "as near in time" if rules.nearest else "with the same useafter"
        raise ReferenceFileError(
            f"{reference_type}: ambiguous for {_described(tiers, observation)}: "
            f"{' and '.join(map(str, best))} match {alike}"
        )
    return best[0] if best else None


def failures(entry: Entry, observation: Observation) -> list[str]:
    """Return why a rule does not match an observation, one reason per field; empty if it does."""
    reasons = [
        f"it wants {field} {_expected(condition)}, the observation has {observation.text(field)}"
        for field, condition in entry.rule.match.items()
        if not accepts(condition, observation[field])
    ]
    time = observation["time"]
    late = time is None or (time < entry.start and not entry.nearest)
    if entry.rule.useafter is not None and late:
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
    hidden = META_TIMES | ({CELL} if observation[CELL] is None else set())
    used = [field for rules in tiers for field in rules.fields() if field not in hidden]
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


def contradictions(match: Mapping[str, Condition], meta: Meta) -> list[str]:
    """Return where a rule is for other observations than the header of its file says.

    Parameters
    ----------
    match
        Of the rule.
    meta
        Of the file; what it does not give contradicts nothing.
    """
    observation = Observation(meta)
    return [
        f"{name}: the rule wants {toml_value(match[name])}, the file has {observation[name]!r}"
        for name in MATCHED
        if name in match
        and observation[name] is not None
        and not accepts(match[name], observation[name])
    ]
