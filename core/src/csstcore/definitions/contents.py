"""What is wrong with the contents of a file, headers and layout, without reading data."""

from __future__ import annotations

from csstcore.definitions.fitsfile import Hdu
from csstcore.definitions.hdu_model import HduModel
from csstcore.definitions.header import Header, frame_headers, match_units
from csstcore.definitions.keywords import WrongValue, allowed
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.planes import WrongPlane, memory_type
from csstcore.definitions.units import parse_unit
from csstcore.errors import nearest


def content_problems(
    definition: DefinitionModel, units: tuple[Hdu, ...], header: Header
) -> list[str]:
    """Return every disagreement between a FITS file and its definition.

    Parameters
    ----------
    definition
        What the file should be.
    units
        Its header-data units.
    header
        Its header, read with the definition.
    """
    problems = []
    matched = match_units(definition, units)
    for hdu in definition.hdu:
        mine = [units[index] for index, model in matched.items() if model is hdu]
        if not mine and hdu.required:
            names = ", ".join(unit.name or f"number {unit.index}" for unit in units)
            hint = nearest(hdu.name, [unit.name for unit in units])
            problems.append(f"HDU {hdu.name}: missing; found {names}{hint}")
        axes = 2 if definition.definition.product == "Image" else None
        for unit in mine:
            which = f"HDU {hdu.name}" + (f" (unit {unit.index})" if len(mine) > 1 else "")
            problems += [f"{which}: {problem}" for problem in _layout(hdu, unit, axes)]
    problems += keyword_problems(definition, header)
    for number, frame in enumerate(frame_headers(definition, header)):
        fresh = keyword_problems(definition, frame)
        problems += [f"frame {number}: {text}" for text in fresh if text not in problems]
    return problems


def keyword_problems(definition: DefinitionModel, header: Header) -> list[str]:
    """Return what is wrong with the keywords of a header, in the declared order."""
    problems = []
    seen: set[str] = set()
    for hdu in definition.hdu:
        for keyword, model in hdu.cards.items():
            if keyword in seen:
                continue
            seen.add(keyword)
            if keyword in header.problems:
                problems.append(f"HDU {hdu.name}: {header.problems[keyword]}")
            elif keyword not in header:
                if model.required:
                    also = f" (or {', '.join(model.synonyms)})" if model.synonyms else ""
                    problems.append(f"HDU {hdu.name}: keyword {keyword}{also}: missing")
            else:
                try:
                    allowed(model, header[keyword])
                except WrongValue as wrong:
                    problems.append(f"HDU {hdu.name}: keyword {keyword}: {wrong}")
    return problems


def _layout(hdu: HduModel, unit: Hdu, axes: int | None) -> list[str]:
    if not hdu.layers:
        return []
    if hdu.is_table:
        return [] if unit.is_table else ["found an image, expected a table"]
    if unit.is_table:
        return ["found a table, expected an image"]
    if not unit.shape or 0 in unit.shape:
        return ["holds no data"]
    problems = []
    if hdu.planes and unit.shape[0] != len(hdu.planes):
        return [f"found {unit.shape[0]} planes, expected {len(hdu.planes)}"]
    stacked = hdu.split == "axis" or bool(hdu.planes)
    shape = unit.shape[1:] if stacked and len(unit.shape) > 1 else unit.shape
    if axes is not None and len(shape) != axes:
        problems.append(f"found {len(shape)} axes, expected {axes}")
    if hdu.shape is not None and shape != hdu.shape:
        problems.append(f"found shape {_shape(shape)}, expected {_shape(hdu.shape)}")
    try:
        memory_type(unit, hdu)
    except WrongPlane as wrong:
        problems.append(str(wrong))
    found = unit.values.get("BUNIT")
    if isinstance(found, str) and hdu.unit is not None:
        try:
            same = parse_unit(found) == parse_unit(hdu.unit)
        except ValueError:
            same = False
        if not same:
            problems.append(f"keyword BUNIT: found {found!r}, expected {hdu.unit!r}")
    return problems


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) + " (rows x columns)" if len(shape) == 2 else str(shape)
