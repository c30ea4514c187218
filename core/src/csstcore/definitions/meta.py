"""`Meta` and grouping keys, from a header by a definition's rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import astropy.units as u
import numpy as np
from astropy.time import Time

from csstcore.definitions.hdu_model import KeywordModel
from csstcore.definitions.header import Header
from csstcore.definitions.keywords import is_fill
from csstcore.definitions.model import DefinitionModel, MetaRule
from csstcore.definitions.units import parse_unit
from csstcore.errors import ConfigurationError, FileError, nearest
from csstcore.plugins.importing import load
from csstcore.products.meta import (
    META_FIELDS,
    META_INTEGERS,
    META_TIMES,
    META_UNITS,
    Meta,
    plain_value,
    undated_leap_seconds,
)


def read_meta(definition: DefinitionModel, header: Header) -> Meta:
    """Return the core fields of a file.

    A keyword that is absent or has its fill value gives None.

    Raises
    ------
    FileError
        With every keyword or file-name field that cannot be understood.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, rules in definition.meta.items():
        try:
            values[name] = _first(definition, header, name, rules)
        except (ValueError, TypeError) as cause:
            problems.append(f"meta field {name}: {cause}")
    if problems:
        raise FileError(f"{header.path}: " + "; ".join(problems))
    return Meta(**values)


def read_keys(
    definition: DefinitionModel, header: Header, meta: Meta, wanted: Sequence[str]
) -> dict[str, tuple[Any, ...]]:
    """Return the values of grouping keys; several where a file belongs to several groups.

    Parameters
    ----------
    definition, header, meta
        The file's.
    wanted
        Names of Meta fields or of ``[keys]``.

    Raises
    ------
    ConfigurationError
        If a name is no key of the definition.
    FileError
        If the file gives no value for one.
    """
    keys: dict[str, tuple[Any, ...]] = {}
    for name in wanted:
        if name in definition.keys:
            try:
                value = _first(definition, header, name, definition.keys[name])
            except (ValueError, TypeError) as cause:
                raise FileError(f"{header.path}: key {name}: {cause}") from cause
        elif name in META_FIELDS:
            value = plain_value(meta, name)
        else:
            known = (*definition.keys, *META_FIELDS)
            raise ConfigurationError(
                f"{definition.full_name}: has no key {name!r}{nearest(name, known)}"
            )
        several = value if isinstance(value, (list, tuple)) else (value,)
        keys[name] = tuple(item for item in several if item is not None)
        if not keys[name]:
            raise FileError(f"{header.path}: gives no value for the key {name!r}")
    return keys


def _first(
    definition: DefinitionModel, header: Header, name: str, rules: tuple[MetaRule, ...]
) -> Any:
    """Return what the first rule that has a value gives."""
    for rule in rules:
        value = _value(definition, header, name, rule)
        if value is not None:
            return value
    return None


def _value(definition: DefinitionModel, header: Header, name: str, rule: MetaRule) -> Any:
    if rule.function is not None:
        return _call(rule.function, header)
    if rule.keywords is not None:
        names = [rule.keywords.format(n, n=n) for n in range(rule.first, rule.first + rule.count)]
        numbers = [_keyword(definition, header, key) for key in names]
        present = [number for number in numbers if number is not None]
        if not present:
            return None
        if len(present) not in (1, len(names)):
            missing = [key for key, number in zip(names, numbers, strict=True) if number is None]
            raise ValueError(f"{', '.join(missing)} absent, though {names[0]} is given")
        value: Any = present[0] if len(present) == 1 else np.array(present, float)
        return _converted(definition, name, rule, value, names[0])
    if rule.keyword is not None:
        value = _keyword(definition, header, rule.keyword)
        if rule.time is not None and isinstance(value, str) and "T" not in value:
            clock = _keyword(definition, header, rule.time)
            value = value if clock is None else f"{value}T{clock}"
        return _converted(definition, name, rule, value, rule.keyword)
    value = rule.value if rule.file is None else header.fields.get(rule.file)
    return _converted(definition, name, rule, value, None)


def _call(function: str, header: Header) -> Any:
    try:
        value = load(function)(header)
    except Exception as cause:  # plugin code, on a header it may not understand
        raise ValueError(f"{function} failed: {type(cause).__name__}: {cause}") from cause
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        return [item.item() if hasattr(item, "item") else item for item in value]
    return value.item() if hasattr(value, "item") else value


def _keyword(definition: DefinitionModel, header: Header, keyword: str) -> Any:
    """Return a keyword's value; None if it is absent or filled."""
    if keyword in header.problems:
        raise ValueError(header.problems[keyword])
    value = header.get(keyword)
    model = declared(definition, keyword)
    if value is None or (model is not None and is_fill(model, value)):
        return None
    return value


def declared(definition: DefinitionModel, keyword: str) -> KeywordModel | None:
    """Return the declaration of a keyword, in whichever unit it is."""
    for hdu in definition.hdu:
        if keyword in hdu.cards:
            return hdu.cards[keyword]
    return None


def _converted(
    definition: DefinitionModel, name: str, rule: MetaRule, value: Any, keyword: str | None
) -> Any:
    """Return the value as the field wants it: a quantity, a time, a whole number or text."""
    if value is None:
        return None
    where = f"{keyword or rule.file or 'value'}: found {value!r}, expected"
    if name in META_TIMES:
        return _time(rule, value, where)
    if name in META_UNITS:
        model = declared(definition, keyword) if keyword else None
        unit = rule.unit or (model.unit if model is not None else None)
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "if" or not np.all(np.isfinite(numbers)):
            raise ValueError(f"{where} a finite number")
        own = META_UNITS[name] if unit is None else parse_unit(unit)
        return u.Quantity(value, own).to(META_UNITS[name])
    kind = rule.type or ("int" if name in META_INTEGERS else None)
    if kind in ("int", "float"):
        try:
            number = int(value) if kind == "int" else float(value)
        except (ValueError, TypeError):
            raise ValueError(f"{where} a number") from None
        if not math.isfinite(number):
            raise ValueError(f"{where} a finite number")
        return number
    if name in META_FIELDS and name != "detector":
        return str(value)
    return str(value) if kind == "str" else value


def _time(rule: MetaRule, value: Any, where: str) -> Time:
    try:
        with undated_leap_seconds():
            if rule.format is not None and "%" in rule.format:
                text = datetime.strptime(str(value), rule.format).isoformat()
                return Time(text, format="isot", scale="utc")
            if isinstance(value, str):
                return Time(value.strip().rstrip("Z"), format="isot", scale="utc")
            return Time(float(value), format=rule.format or "mjd", scale="utc")
    except (ValueError, TypeError) as cause:
        raise ValueError(f"{where} a time (UTC)") from cause
