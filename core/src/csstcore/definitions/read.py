"""Products from files, by definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.io import fits

from csstcore.definitions.contents import content_problems, keyword_problems
from csstcore.definitions.fields import read_fields
from csstcore.definitions.fitsfile import Hdu, one_line, open_units, scan
from csstcore.definitions.hdu_model import HduModel
from csstcore.definitions.header import (
    Header,
    call_reader,
    frame_headers,
    match_units,
    read_header,
)
from csstcore.definitions.meta import read_meta
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.planes import WrongPlane, read_layers, read_plane
from csstcore.definitions.products import build, product_type
from csstcore.definitions.tables import read_table_planes
from csstcore.definitions.units import parse_unit
from csstcore.definitions.wcs import read_wcs
from csstcore.errors import FileError
from csstcore.products.meta import Meta


@dataclass(frozen=True)
class ReadFile:
    """What a file holds."""

    header: Header
    kind: type[Any]
    """Type of its products."""
    planes: list[dict[str, Any]]
    """For each product, field to value; one entry unless the file is split."""
    frame_headers: tuple[Header, ...] = ()
    """For each product, its header, where frames have units of their own."""

    @cached_property
    def products(self) -> list[Any]:
        """The products.

        Raises
        ------
        FileError
            If the file holds only a part of one (see `merge_products`).
        """
        return _built(self.header.path, self.kind, self.planes)


def read_products(definition: DefinitionModel, path: Path) -> ReadFile:
    """Read a file.

    Parameters
    ----------
    definition
        What the file is.
    path
        The file.

    Raises
    ------
    FileError
        If the file cannot be read or does not satisfy the definition; names the file and
        everything that is wrong with it.
    """
    header = read_header(definition, path)
    kind = product_type(definition.definition.product)
    if definition.definition.reader is not None:
        _refuse(path, keyword_problems(definition, header))
        return _read_by_reader(definition, path, header, kind)
    units = scan(path)
    _refuse(path, content_problems(definition, units, header))
    planes: dict[str, Any] = read_fields(definition, header)
    frames: list[dict[str, Any]] = []
    with open_units(path) as opened:
        for index, hdu in match_units(definition, units).items():
            found = _unit_planes(path, opened, units[index], hdu)
            if hdu.split == "units":
                frames.append(found)
            else:
                planes.update(found)
    planes["meta"] = read_meta(definition, header)
    if definition.flags:
        planes["flag_bits"] = definition.flag_bits
    if frames:
        headers = frame_headers(definition, header)
        metas = [read_meta(definition, each) for each in headers]
        own = [{"meta": replace(meta, frame=i)} for i, meta in enumerate(metas)]
        entries = [planes | f | m for f, m in zip(frames, own, strict=True)]
        return ReadFile(header, kind, entries, headers)
    split = {hdu.plane for hdu in definition.hdu if hdu.split} & planes.keys()
    return ReadFile(header, kind, _frames(path, planes, split) if split else [planes])


def merge_products(files: Sequence[ReadFile]) -> list[Any]:
    """Return the products whose planes lie in several files, e.g. image, weight and flags.

    Parameters
    ----------
    files
        Files of the same products; what two of them give is taken from the first. A file that
        is not split into frames gives its planes to every frame of the first.

    Raises
    ------
    FileError
        If they differ in type or number of products, or their planes do not fit together.
    """
    first = files[0]
    merged = [dict(planes) for planes in first.planes]
    for other in files[1:]:
        every = other.planes
        if len(every) == 1 and every[0]["meta"].frame is None:
            every = every * len(merged)
        if other.kind is not first.kind or len(every) != len(merged):
            raise FileError(
                f"{other.header.path}: holds {len(other.planes)} {other.kind.__name__}, expected "
                f"{len(merged)} {first.kind.__name__} as {first.header.path}"
            )
        for planes, more in zip(merged, every, strict=True):
            for name, value in more.items():
                if planes.get(name) is None:
                    planes[name] = value
    return _built(first.header.path, first.kind, merged)


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        raise FileError(f"{path}: " + "; ".join(problems))


def _built(path: Path, kind: type[Any], planes: list[dict[str, Any]]) -> list[Any]:
    try:
        return [build(kind, entry) for entry in planes]
    except (ValueError, TypeError) as cause:
        raise FileError(f"{path}: {cause}") from cause


def _unit_planes(path: Path, opened: fits.HDUList, unit: Hdu, hdu: HduModel) -> dict[str, Any]:
    """Return the fields that one unit gives."""
    planes: dict[str, Any] = {}
    try:
        if hdu.wcs:
            planes["wcs"] = read_wcs(unit.values, frames=hdu.split is not None)
        if not hdu.layers:
            return planes
        if hdu.is_table:
            found, problems = read_table_planes(opened[unit.index], hdu)
            _refuse(path, [f"HDU {hdu.name}: {problem}" for problem in problems])
            return planes | found
        if hdu.plane is None:
            arrays = read_layers(opened[unit.index], hdu)
        else:
            arrays = {hdu.plane: read_plane(opened[unit.index], unit, hdu)}
    except FileError:
        raise
    except WrongPlane as wrong:
        raise FileError(f"{path}: HDU {hdu.name}: {wrong}") from wrong
    except Exception as cause:  # astropy raises nearly anything on damaged tables and WCS
        raise FileError(f"{path}: HDU {hdu.name}: cannot be read: {one_line(cause)}") from cause
    unit_ = parse_unit(hdu.unit or str(unit.values.get("BUNIT", "")))
    if hdu.quantity:
        return planes | {
            name: u.Quantity(array, unit_, copy=False, dtype=array.dtype)
            for name, array in arrays.items()
        }
    if not arrays.keys() <= {"variance", "flags", "mask"}:
        planes["unit"] = unit_
    return planes | arrays


def _frames(path: Path, planes: dict[str, Any], split: set[str | None]) -> list[dict[str, Any]]:
    """Return one entry per frame; planes that are not split are shared."""
    lengths = {str(name): len(planes[str(name)]) for name in split}
    if len(set(lengths.values())) != 1:
        raise FileError(f"{path}: planes have different numbers of frames: {lengths}")
    frames = []
    for frame in range(next(iter(lengths.values()))):
        entry = {name: v[frame] if name in split else v for name, v in planes.items()}
        entry["meta"] = replace(planes["meta"], frame=frame)
        frames.append(entry)
    return frames


def _read_by_reader(
    definition: DefinitionModel, path: Path, header: Header, kind: type[Any]
) -> ReadFile:
    """Read with the definition's own reader, and add meta where it gave none."""
    _, products = call_reader(definition, path, header_only=False)
    meta = read_meta(definition, header)
    planes = []
    for product in products:
        if not isinstance(product, kind):
            raise FileError(
                f"{path}: the reader {definition.definition.reader} gave "
                f"{type(product).__name__}, expected {kind.__name__}"
            )
        entry = {field.name: getattr(product, field.name) for field in fields(product)}
        if entry.get("meta") == Meta():
            frame = entry["meta"].frame
            entry["meta"] = meta if frame is None else replace(meta, frame=frame)
        planes.append(entry)
    return ReadFile(header, kind, planes)
