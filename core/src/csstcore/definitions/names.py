"""File names: parsed into fields and formatted from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from csstcore.definitions.model import DefinitionModel, FieldModel
from csstcore.errors import FileError
from csstcore.products.meta import undated_leap_seconds

_SAFE: Final = re.compile(r"[A-Za-z0-9._-]+")
_SUFFIXES: Final = re.compile(r"\.(gz|fz)$")


def parse_name(definition: DefinitionModel, name: str) -> dict[str, str] | None:
    """Return the fields of a file name, or None if it is not of this definition.

    The newest form is tried first, then the older ones; a suffix ``.gz`` does not matter.
    """
    if definition.file is None:
        return None
    name = _SUFFIXES.sub("", name)
    for template in (definition.file.name, *definition.file.accept):
        patterns = tuple((key, field.pattern) for key, field in definition.file.fields.items())
        match = _expression(template, patterns).fullmatch(name)
        if match is not None:
            return {key: value for key, value in match.groupdict().items() if value is not None}
    return None


@lru_cache(maxsize=256)
def _expression(template: str, patterns: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    fields = dict(patterns)
    parts: list[str] = []
    seen: set[str] = set()
    for position, part in enumerate(re.split(r"\{([^{}]*)\}", template)):
        if position % 2 == 0:
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P={part})")
        else:
            seen.add(part)
            parts.append(f"(?P<{part}>{fields[part]})")
    return re.compile("".join(parts))


def format_name(definition: DefinitionModel, values: Mapping[str, Any]) -> str:
    """Return the newest form of the file name.

    Parameters
    ----------
    definition
        The definition, which must have a ``[file]`` table.
    values
        A value for every field of the name.

    Raises
    ------
    FileError
        If a value is absent, does not match its field's pattern, or could leave the folder.
    """
    if definition.file is None:
        raise FileError(f"{definition.full_name}: has no [file] table, so it cannot be written")
    texts = {}
    for name in dict.fromkeys(re.findall(r"\{([^{}]*)\}", definition.file.name)):
        field = definition.file.fields[name]
        texts[name] = _field_text(definition, name, field, values.get(name))
    file_name = definition.file.name.format(**texts)
    if _SAFE.fullmatch(file_name) is None or file_name.startswith("."):
        raise FileError(f"{definition.full_name}: {file_name!r} is not a safe file name")
    return file_name


def _field_text(definition: DefinitionModel, name: str, field: FieldModel, value: Any) -> str:
    where = f"{definition.full_name}: field {name!r} of the file name"
    if value is None:
        origin = f" from {' or '.join(field.source)}" if field.source else ""
        raise FileError(f"{where}: no value{origin}; expected one matching {field.pattern}")
    try:
        text = formatted(value, field.format)
    except (ValueError, TypeError) as cause:
        raise FileError(f"{where}: {value!r} cannot be written as {field.format!r}") from cause
    if re.fullmatch(field.pattern, text) is None or _SAFE.fullmatch(text) is None:
        raise FileError(f"{where}: found {text!r}, expected one matching {field.pattern}")
    return text


def formatted(value: Any, form: str | None) -> str:
    """Return a value as text, by a time format (with ``%``) or a Python format.

    Text that has the format already (from a file name) stays as it is.
    """
    if form is None or (isinstance(value, str) and "%" in form):
        return str(value)
    if "%" in form:
        with undated_leap_seconds():
            return str(value.strftime(form))
    return format(int(value) if isinstance(value, str) and form.endswith("d") else value, form)
