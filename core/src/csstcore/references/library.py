"""`Library`: where the rules and files of a store come from. All else is ignorant of it.

A store is a tree of names: ``rules/TYPE.toml``, ``contexts/NAME.toml`` and
``files/9f/bias_07.fits``. A class with the three methods of `Library` serves it from anywhere.
A distribution makes such a class known by an entry point of the group
``csstcore.reference_stores``, whose name is the scheme of its locations
(``--refs SCHEME://...``); the class is called with the location.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol

from csstcore.errors import ConfigurationError
from csstcore.references.rules import Rule

GROUP: Final = "csstcore.reference_stores"


class Library(Protocol):
    """Serves a store of references, from a folder or from far away."""

    def read(self, name: str) -> bytes | None:
        """Return the text of a rule file or context as it is now; None if there is none."""

    def path(self, name: str) -> Path:
        """Return where a file is on this machine, or will be after `fetch`; fast."""

    def fetch(self, name: str) -> Path | None:
        """Bring a reference file to its path if it is not there; None if there is none.

        The file must appear there whole, by a rename. Its sha256 is checked by the caller.
        """


def rules_name(reference_type: str) -> str:
    """Return the name of the rule file of a type."""
    return f"rules/{reference_type}.toml"


def file_name(rule: Rule) -> str:
    """Return the name of the file of a rule."""
    return f"files/{(rule.sha256 or '')[:2]}/{rule.file}"


def is_remote(location: str) -> bool:
    """Return whether a location is no folder."""
    return "://" in location


def open_library(location: Path | str) -> Library:
    """Return the library at a location: a folder, or ``SCHEME://...``.

    Raises
    ------
    ConfigurationError
        If it is a file, or nothing installed knows the scheme.
    """
    from csstcore.references.folder import StoreFolder

    if not is_remote(str(location)):
        folder = Path(location)
        if folder.exists() and not folder.is_dir():
            raise ConfigurationError(f"reference store {folder}: not a folder")
        return StoreFolder(folder)
    scheme = str(location).partition("://")[0]
    for point in entry_points(group=GROUP, name=scheme):
        library: Library = point.load()(str(location))
        return library
    raise ConfigurationError(
        f"reference store {location}: nothing installed serves {scheme}:// "
        f"(entry points of {GROUP})"
    )
