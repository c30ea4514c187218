"""Everything that is wrong with a file, at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from csstcore.definitions.contents import content_problems, keyword_problems
from csstcore.definitions.fitsfile import one_line, open_units, scan
from csstcore.definitions.header import Header, call_reader, match_units, read_header
from csstcore.definitions.meta import read_meta
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.recognise import why_not, wrong_identity
from csstcore.definitions.tables import read_table_planes
from csstcore.definitions.wcs import read_wcs
from csstcore.errors import FileError


def validate_file(definition: DefinitionModel, path: Path, *, named: bool = True) -> list[str]:
    """Return every disagreement of a file with a definition; nothing if it is good.

    Name, identity, layout, keywords, columns, world coordinates, core fields, and the
    checksums that the file carries.

    Parameters
    ----------
    definition
        What the file should be.
    path
        The file.
    named
        Whether its name counts.
    """
    try:
        header = read_header(definition, path)
    except FileError as cause:
        return [_without(path, cause)]
    problems = why_not(definition, path, header) if named else wrong_identity(definition, header)
    try:
        if definition.definition.reader is None:
            problems += _fits_problems(definition, path, header)
        else:
            problems += keyword_problems(definition, header)
            call_reader(definition, path, header_only=False)
    except FileError as cause:
        problems.append(_without(path, cause))
    try:
        read_meta(definition, header)
    except FileError as cause:
        fresh = _without(path, cause).split("; ")
        problems += [text for text in fresh if not any(text.endswith(p[-40:]) for p in problems)]
    return problems


def _without(path: Path, cause: FileError) -> str:
    """Return a message without the file's name, which the caller knows."""
    return str(cause).removeprefix(f"{path}: ")


def _fits_problems(definition: DefinitionModel, path: Path, header: Header) -> list[str]:
    units = scan(path)
    problems = content_problems(definition, units, header)
    matched = match_units(definition, units)
    with open_units(path) as opened:
        for unit in units:
            hdu = matched.get(unit.index)
            name = f"HDU {hdu.name if hdu else unit.name or unit.index}"
            try:
                content = opened[unit.index]
                problems += [f"{name}: {text}" for text in _sum_problems(content)]
                if hdu is not None and hdu.wcs:
                    read_wcs(unit.values, frames=hdu.split is not None)
                if hdu is not None and hdu.is_table and unit.is_table:
                    problems += [f"{name}: {text}" for text in read_table_planes(content, hdu)[1]]
            except Exception as cause:  # astropy raises nearly anything on damaged bytes
                problems.append(f"{name}: {one_line(cause)}")
    return problems


def _sum_problems(unit: Any) -> list[str]:
    """Compare DATASUM and CHECKSUM, where the unit has them, with its bytes."""
    problems = []
    if not unit.verify_datasum():
        problems.append(f"DATASUM: found {unit.header['DATASUM']}, which the data do not give")
    if not unit.verify_checksum():
        problems.append("CHECKSUM: does not fit the unit; it was changed after writing")
    return problems
