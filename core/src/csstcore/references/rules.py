"""The rule file: which reference file fits which observations, from when on.

::

    [reference]
    type = "calib.bias"

    [[rule]]
    file = "bias_07_20270101.fits"
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    match = { instrument = "MSC", detector = [6, 7], temperature = { minimum = 180.0 } }
    useafter = 2027-01-01T00:00:00Z
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from csstcore.errors import ConfigurationError, Problems, nearest
from csstcore.products.meta import META_FIELDS, META_INTEGERS, META_TIMES, META_UNITS
from csstcore.references.contract import Contract
from csstcore.references.observation import CELL
from csstcore.references.partition import Partition

FIELDS: Final = (*META_FIELDS, CELL)
"""What a rule may match."""

Value = int | float | str | datetime
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Range:
    """Values from `minimum` to `maximum`, both included; None is open."""

    minimum: float | datetime | None = None
    maximum: float | datetime | None = None


Condition = tuple[Value, ...] | Range
"""Alternatives, or a range, for one field of `csstcore.products.Meta`."""


class Rule(BaseModel):
    """One reference file and the observations it is good for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Annotated[str, AfterValidator(lambda text: _inside(text))]
    """File name; in a plugin a path beside the rule file."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    match: Annotated[dict[str, Condition], BeforeValidator(lambda table: conditions(table))] = {}
    useafter: Annotated[datetime, BeforeValidator(lambda value: utc(value))] | None = None
    """Start of validity, compared with the start of the exposure (UTC)."""
    contract: Contract | None = None
    """What the network in the file takes and gives."""


class Subject(BaseModel):
    """What a rule file is about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
    """Full name of the reference type, e.g. ``"calib.bias"``."""
    nearest: bool = False
    """Whether the rule nearest in time wins, before or after, instead of the latest one."""
    partition: Partition | None = None


class RuleFile(BaseModel):
    """All rules for one reference type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Subject
    rule: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _rules_fit_their_subject(self) -> RuleFile:
        partitioned, problems = self.reference.partition is not None, []
        for number, rule in enumerate(self.rule, 1):
            if (CELL in rule.match) != partitioned:
                wrong = "is missing" if partitioned else "is given, but there is no partition"
                problems.append(f"rule {number}, match: {CELL} {wrong}")
            if isinstance(rule.match.get(CELL), Range):
                problems.append(f"rule {number}, match: {CELL} is a number or a list of numbers")
            if self.reference.nearest and rule.useafter is None:
                problems.append(f"rule {number}, useafter: missing; the nearest in time is wanted")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_rules(path: Path, expected_type: str, *, need_sha256: bool) -> RuleFile:
    """Read a rule file.

    Parameters
    ----------
    path
        The TOML file.
    expected_type
        Reference type that the file must be about.
    need_sha256
        Whether every rule must give the checksum of its file (true in a store).

    Raises
    ------
    ConfigurationError
        Naming the file and everything that is wrong in it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"rule file {path}: {error.strerror}") from error
    return parse_rules(content, path, expected_type, need_sha256=need_sha256)


def parse_rules(text: bytes, path: Path, expected_type: str, *, need_sha256: bool) -> RuleFile:
    """Return the rules in the text of a rule file; see `read_rules`.

    Parameters
    ----------
    text
        What the file holds, or is to hold.
    path, expected_type, need_sha256
        As for `read_rules`; the path is for messages only.
    """
    try:
        content = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # of TOML or UTF-8
        raise ConfigurationError(f"rule file {path}: not valid TOML: {error}") from error
    try:
        rules = RuleFile.model_validate(content)
    except ValidationError as error:
        raise Problems(f"rule file {path}", toml_problems(error)) from None
    problems = []
    if rules.reference.type != expected_type:
        problems.append(f"reference, type: found {rules.reference.type!r}, not {expected_type!r}")
    if need_sha256:
        problems += [
            f"rule {number}, sha256: missing; a store gives the checksum of every file"
            for number, rule in enumerate(rules.rule, 1)
            if rule.sha256 is None
        ]
    if problems:
        raise Problems(f"rule file {path}", problems)
    return rules


def toml_problems(error: ValidationError) -> list[str]:
    """Return one line per problem: where in the file, and what is wrong."""
    lines = []
    for problem in error.errors(include_url=False):
        where = ", ".join(str(part) for part in _counted_from_one(problem["loc"]))
        what = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {what}" if where else what)
    return lines


def _counted_from_one(location: tuple[int | str, ...]) -> list[str]:
    """Join each index to the name before it: ``("rule", 0, "file")`` -> ``rule 1, file``."""
    parts: list[str] = []
    for part in location:
        if isinstance(part, int) and parts:
            parts[-1] += f" {part + 1}"
        else:
            parts.append(str(part))
    return parts


def conditions(table: Any) -> dict[str, Condition]:
    """Check the table ``match`` against the fields of `Meta` and their types.

    Raises
    ------
    ValueError
        Naming every field that is unknown or whose value is of the wrong kind.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"found {table!r}; expected a table {{ field = value }}")
    result: dict[str, Condition] = {}
    problems = []
    for field, value in table.items():
        if field not in FIELDS:
            problems.append(f"{field!r} is no field of Meta{nearest(field, FIELDS)}")
            continue
        try:
            result[field] = _condition(field, value)
        except ValueError as error:
            problems.append(f"{field}: {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return result


def _condition(field: str, value: Any) -> Condition:
    if isinstance(value, Range):
        return value
    if isinstance(value, Mapping):
        return _range(field, value)
    alternatives = value if isinstance(value, (list, tuple)) else [value]
    if not alternatives:
        raise ValueError("an empty list matches nothing; leave the field out to match anything")
    return tuple(_value(field, alternative) for alternative in alternatives)


def _range(field: str, table: Mapping[str, Any]) -> Range:
    wrong = sorted(set(table) - {"minimum", "maximum"})
    if wrong or not table:
        found = ", ".join(wrong) or "nothing"
        raise ValueError(f"a range has minimum and/or maximum; found {found}")
    limits: dict[str, float | datetime] = {}
    for name, limit in table.items():
        checked = _value(field, limit)
        if isinstance(checked, str):
            raise ValueError(f"{name} is {limit!r}; a range needs numbers or times")
        limits[name] = checked
    result = Range(**limits)
    if len(limits) == 2 and instant(limits["minimum"]) > instant(limits["maximum"]):
        raise ValueError(f"minimum {limits['minimum']} is above maximum {limits['maximum']}")
    return result


def _value(field: str, value: Any) -> Value:
    """Return `value` if it has the type of the field, else say what was expected."""
    if field in META_TIMES:
        return utc(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if field in META_UNITS:
        if number and abs(value) < float("inf"):
            return float(value)
        raise ValueError(f"found {value!r}; expected a number in {META_UNITS[field]}")
    if field in META_INTEGERS or field in ("detector", CELL):
        if (number and isinstance(value, int)) or (field == "detector" and isinstance(value, str)):
            return value
        raise ValueError(f"found {value!r}; expected a whole number")
    if isinstance(value, str):
        return value
    raise ValueError(f"found {value!r}; expected a string")


def utc(value: Any) -> datetime:
    """Return a TOML date or time as an aware datetime; without offset it is UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError(f"{value} lies outside the years 1 to 9999 in UTC") from None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(f"found {value!r}; expected a date and time such as 2027-01-01T00:00:00Z")


def toml_value(condition: Condition) -> Any:
    """Return a condition as the plain value that a rule file holds."""
    if not isinstance(condition, Range):
        return condition[0] if len(condition) == 1 else list(condition)
    limits = {"minimum": condition.minimum, "maximum": condition.maximum}
    return {name: limit for name, limit in limits.items() if limit is not None}


def instant(value: float | datetime) -> float:
    """Return a time as whole microseconds since 1970 (UTC), a number as it is."""
    if isinstance(value, datetime):
        elapsed = value - _EPOCH
        return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
    return value


def is_inside(text: str) -> bool:
    """Return whether a path stays inside its folder."""
    path = PurePosixPath(text)
    risky = path.is_absolute() or ".." in path.parts or "\\" in text or "\0" in text
    return bool(text) and not risky


def _inside(text: str) -> str:
    """Refuse a path that could lead out of its folder."""
    if not is_inside(text):
        raise ValueError(f"found {text!r}; expected a file name inside the folder of the rules")
    return text
