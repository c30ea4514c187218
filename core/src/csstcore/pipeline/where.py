"""Whether the ``where`` of an input can ever be satisfied by files of its definition."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from csstcore.definitions.model import DefinitionModel, MetaRule
from csstcore.pipeline.model import InputModel, Range
from csstcore.products.meta import META_INTEGERS, META_UNITS

Kind: TypeAlias = Literal["text", "number", "bool"]

_KINDS: dict[str, Kind] = {"str": "text", "int": "number", "float": "number", "bool": "bool"}


def impossible_conditions(item: InputModel, definition: DefinitionModel) -> list[str]:
    """Return one line per condition that no value of its key can meet, whatever the file.

    Parameters
    ----------
    item
        The input of the pipeline.
    definition
        One of its definitions. Keys that it does not have are left to another check.
    """
    problems = []
    for key, condition in item.where.items():
        kind = _kind_of_key(definition, key)
        if kind is None:
            continue
        if isinstance(condition, Range):
            if kind != "number":
                problems.append(f"where {key}: minimum and maximum need a number; it is a {kind}")
            continue
        values = condition if isinstance(condition, tuple) else (condition,)
        for value in values:
            if _kind_of(value) != kind:
                problems.append(f"where {key}: {value!r} never equals a {kind}, which the key is")
    return problems


def _kind_of_key(definition: DefinitionModel, key: str) -> Kind | None:
    """Return what the values of a key are, or None if only the file tells."""
    if key in META_UNITS or key in META_INTEGERS:
        return "number"
    if key not in definition.keys and key not in definition.meta:
        return None
    if key not in definition.keys and key != "detector":  # the one field that may be either
        return "text"
    rules = definition.keys.get(key) or definition.meta[key]
    kinds = {_kind_of_rule(definition, rule) for rule in rules}
    return kinds.pop() if len(kinds) == 1 else None


def _kind_of_rule(definition: DefinitionModel, rule: MetaRule) -> Kind | None:
    if rule.function is not None:
        return None
    if rule.type is not None:
        return _KINDS[rule.type]
    if rule.value is not None:
        return _kind_of(rule.value)
    if rule.time is not None or rule.file is not None:
        return "text"
    for hdu in definition.hdu:
        for name, keyword in hdu.keywords.items():
            if rule.keyword in (name, *keyword.synonyms):
                return _KINDS[keyword.type]
    return None


def _kind_of(value: Any) -> Kind:
    return _KINDS[type(value).__name__]
