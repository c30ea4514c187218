"""What a TOML file given by its path is: a pipeline, a definition, or neither."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal, TypeAlias

TomlKind: TypeAlias = Literal["pipeline", "definition", ""]


def kind_of(path: Path) -> TomlKind:
    """Return which of the tables ``[pipeline]`` and ``[definition]`` a ``.toml`` file has.

    What cannot be read is neither; whoever reads it next says why.
    """
    if path.suffix != ".toml":
        return ""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # of the file, UTF-8 or TOML
        return ""
    if "pipeline" in content:
        return "pipeline"
    return "definition" if "definition" in content else ""
