"""Whether a file is of a definition."""

from __future__ import annotations

from pathlib import Path

from csstcore.definitions.header import Header
from csstcore.definitions.model import DefinitionModel


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
    if definition.file is not None and not header.fields:
        reasons.append(f"file name {path.name!r}: expected {definition.file.name}")
    for keyword, choices in definition.identify.items():
        value = header.get(keyword)
        text = value.strip() if isinstance(value, str) else value
        if text not in choices:
            found = "absent" if value is None else repr(value)
            expected = " or ".join(map(repr, choices))
            reasons.append(f"keyword {keyword}: found {found}, expected {expected}")
    return reasons
