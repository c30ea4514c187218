"""Whether a file is of a definition."""

from __future__ import annotations

from pathlib import Path

from csstcore.definitions.catalog import Definitions
from csstcore.definitions.header import Header, read_header
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.names import parse_name
from csstcore.errors import FileError


def recognises(definition: DefinitionModel, path: Path, header: Header) -> bool:
    """Return whether the file's name and identifying keywords fit the definition.

    Parameters
    ----------
    definition
        The definition to try.
    path
        The file.
    header
        Its header, read with this definition.
    """
    return not why_not(definition, path, header)


def why_not(definition: DefinitionModel, path: Path, header: Header) -> list[str]:
    """Return what speaks against the file being of the definition; nothing if it is.

    A definition without ``[file]`` and ``[identify]`` recognises nothing.
    """
    if definition.file is None and not definition.identify:
        return ["the definition has neither [file] nor [identify], so it recognises no file"]
    reasons = []
    if definition.file is not None and parse_name(definition, path.name) is None:
        reasons.append(f"file name {path.name!r}: expected {definition.file.name}")
    return reasons + wrong_identity(definition, header)


def wrong_identity(definition: DefinitionModel, header: Header) -> list[str]:
    """Return which identifying keywords are not what the definition says."""
    reasons = []
    for keyword, choices in definition.identify.items():
        value = header.get(keyword)
        text = value.strip() if isinstance(value, str) else value
        if text not in choices:
            found = "absent" if value is None else repr(value)
            expected = " or ".join(map(repr, choices))
            reasons.append(f"keyword {keyword}: found {found}, expected {expected}")
    return reasons


def candidates(definitions: Definitions, path: Path) -> tuple[list[str], list[str]]:
    """Return the definitions that recognise a file, or why none does.

    Parameters
    ----------
    definitions
        All definitions; those that cannot be read are passed over.
    path
        The file.

    Returns
    -------
    names
        Full names of those that recognise it.
    reasons
        If none does: that the file cannot be read, or which definition came nearest and
        what speaks against it.
    """
    names: list[str] = []
    against: dict[str, list[str]] = {}
    failures: dict[str, str] = {}
    for name in definitions.usable()[0]:
        definition = definitions.get(name)
        try:
            header = read_header(definition, path)
        except FileError as cause:
            failures[name] = str(cause).removeprefix(f"{path}: ")
            continue
        against[name] = why_not(definition, path, header)
        if not against[name]:
            names.append(name)
    if names:
        return names, []
    if not against:
        return [], list(dict.fromkeys(failures.values())) or ["no definition is installed"]
    nearest = min(against, key=lambda name: len(against[name]))
    reasons = "; ".join(against[nearest])
    return [], [f"no definition recognises it; nearest is {nearest}, but {reasons}"]
