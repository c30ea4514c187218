"""`Header`: the keywords of a file by their canonical names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csstcore.definitions.fitsfile import Hdu, Unreadable, scan
from csstcore.definitions.hdu_model import HduModel
from csstcore.definitions.keywords import WrongValue, typed
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.names import parse_name
from csstcore.errors import ConfigurationError, FileError
from csstcore.plugins.importing import load


@dataclass(frozen=True)
class Header(Mapping[str, Any]):
    """Keyword to value, merged over the units of a file.

    Declared keywords have their canonical name whatever synonym the file uses, and their
    declared type; all others are there as found. Where a keyword is in several units, the
    unit that declares it counts, else the first.
    """

    path: Path
    cards: Mapping[str, Any]
    fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of the file name; empty if the name is not of this definition."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Keyword to what is wrong with its type."""

    def __getitem__(self, keyword: str) -> Any:
        return self.cards[keyword]

    def __iter__(self) -> Iterator[str]:
        return iter(self.cards)

    def __len__(self) -> int:
        return len(self.cards)


def read_header(definition: DefinitionModel, path: Path) -> Header:
    """Read the header of a file.

    A keyword that is absent or of the wrong type is no error here, so that any file can be
    tried against any definition; `Header.problems` has the latter.

    Parameters
    ----------
    definition
        What the file is thought to be.
    path
        The file.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    fields = parse_name(definition, path.name) or {}
    if definition.definition.reader is not None:
        values, _ = call_reader(definition, path, header_only=True)
        found: list[tuple[HduModel | None, Mapping[str, Any]]] = [(None, values)]
    else:
        units = scan(path)
        matched = match_units(definition, units)
        found = [(matched.get(unit.index), unit.values) for unit in units]
    return _merge(definition, path, fields, found)


def call_reader(
    definition: DefinitionModel, path: Path, *, header_only: bool
) -> tuple[Mapping[str, Any], list[Any]]:
    """Call the definition's own reader; anything it raises becomes a `FileError`."""
    if definition.reader_target is None:
        raise ConfigurationError(
            f"{definition.full_name}: its reader {definition.definition.reader!r} is known only "
            "to a registry; get the definition from Definitions"
        )
    read = load(definition.reader_target)
    try:
        values, products = read(path, header_only=header_only)
    except FileError:
        raise
    except Exception as cause:  # a reader is plugin code and may raise anything on bad bytes
        raise FileError(
            f"{path}: the reader {definition.definition.reader} failed: "
            f"{type(cause).__name__}: {cause}"
        ) from cause
    return values, products


def match_units(definition: DefinitionModel, units: tuple[Hdu, ...]) -> dict[int, HduModel]:
    """Return the declared unit of each unit of the file, by index.

    By EXTNAME and its synonyms (case does not matter); units that have none are taken in
    the declared order. One declared with ``split = "units"`` stands for all of its name, or
    without names for all that are left.
    """
    names = {name.upper(): hdu for hdu in definition.hdu for name in (hdu.name, *hdu.synonyms)}
    matched: dict[int, HduModel] = {}
    taken: set[str] = set()
    for unit in units:
        hdu = names.get(unit.name)
        if hdu is None and unit.name == "" and definition.hdu:
            hdu = definition.hdu[min(unit.index, len(definition.hdu) - 1)]
            if unit.index >= len(definition.hdu) and hdu.split != "units":
                hdu = None
        if hdu is not None and (hdu.name not in taken or hdu.split == "units"):
            matched[unit.index] = hdu
            taken.add(hdu.name)
    return matched


def frame_headers(definition: DefinitionModel, header: Header) -> tuple[Header, ...]:
    """Return a header for each frame, where frames have units of their own; else nothing.

    Parameters
    ----------
    definition
        What the file is.
    header
        Its header, read with the definition.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    if not definition.hdu or definition.hdu[-1].split != "units":
        return ()
    units = scan(header.path)
    matched = match_units(definition, units)
    frames = [i for i, hdu in matched.items() if hdu.split == "units"]
    common = [(matched.get(u.index), u.values) for u in units if u.index not in frames]
    return tuple(
        _merge(definition, header.path, header.fields, [(matched[i], units[i].values), *common])
        for i in frames
    )


def _merge(
    definition: DefinitionModel,
    path: Path,
    fields: Mapping[str, str],
    found: list[tuple[HduModel | None, Mapping[str, Any]]],
) -> Header:
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for hdu in definition.hdu:
        own_first = sorted(found, key=lambda pair: pair[0] is not hdu)
        for keyword, model in hdu.cards.items():
            if keyword in values:
                continue
            spelling, value = _find(own_first, (keyword, *model.synonyms))
            if value is None:
                continue
            try:
                values[keyword] = typed(model, value)
            except WrongValue as wrong:
                also = "" if spelling == keyword else f" (as {spelling})"
                problems[keyword] = f"keyword {keyword}{also}: {wrong}"
    for _, unit in found:
        for keyword, value in unit.items():
            if keyword not in problems and not isinstance(value, Unreadable):
                values.setdefault(keyword, value)
    return Header(path, values, fields, problems)


def _find(
    units: list[tuple[HduModel | None, Mapping[str, Any]]], spellings: tuple[str, ...]
) -> tuple[str, Any]:
    for spelling in spellings:
        for _, unit in units:
            if unit.get(spelling) is not None:
                return spelling, unit[spelling]
    return "", None
