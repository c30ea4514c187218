"""`FakeReferences`: a reference store filled by a test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import tomlkit

from csstcore.references.choose import Entry
from csstcore.references.folder import StoreFolder
from csstcore.references.rules import Rule, conditions


class FakeReferences:
    """A store in a folder of its own; pass `folder` where ``--refs`` goes.

    Reference types need not be declared by any installed plugin.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        reference_type: str,
        content: Path | Mapping[str, Any],
        match: Mapping[str, Any] | None = None,
        useafter: datetime | None = None,
    ) -> Entry:
        """Add one reference with its rule.

        Parameters
        ----------
        reference_type
            Full name, e.g. ``"calib.readout"``.
        content
            A file, or the values of a TOML reference.
        match
            As in a rule file; every observation matches by default.
        useafter
            Start of validity (UTC); None is always.
        """
        if isinstance(content, Path):
            path = content
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{reference_type.replace('.', '_')}.toml"
            path.write_text(tomlkit.dumps(content))
        rule = Rule(file=path.name, match=conditions(match or {}), useafter=useafter)
        return StoreFolder(self.folder).add(reference_type, path, rule)
