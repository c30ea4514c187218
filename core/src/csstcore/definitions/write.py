"""Products to files, by definition; a file appears complete or not at all."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from csstcore.definitions.cards import Writing, add_cards
from csstcore.definitions.encode import flag_table, stored_plane, unit_factor
from csstcore.definitions.hdu_model import HduModel
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.names import format_name
from csstcore.definitions.sources import Sources, look_up
from csstcore.definitions.stream import write_units
from csstcore.definitions.write_table import table_unit
from csstcore.errors import FileError
from csstcore.products.meta import Meta


def write_product(
    definition: DefinitionModel,
    product: Any | Sequence[Any],
    sources: Sources | Sequence[Sources],
    folder: Path,
) -> Path:
    """Write a product as the definition says.

    Parameters
    ----------
    definition
        What the file becomes.
    product
        The product, or the products of a file that holds several frames.
    sources
        Where its keywords come from; those of each product, where frames have units of their
        own.
    folder
        Where the file goes; made if absent.

    Returns
    -------
    path
        The file, under its own name. It is written beside it first, flushed and renamed.

    Raises
    ------
    FileError
        If the product does not fit the definition, or the file cannot be written.
    """
    products = list(product) if isinstance(product, Sequence) else [product]
    if not products:
        raise FileError(f"{definition.full_name}: there is no product to write")
    each = [sources] * len(products) if isinstance(sources, Sources) else list(sources)
    name = format_name(definition, _name_fields(definition, each[0], products[0]))
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    record = {**each[0].record, "file_name": name}
    own = [replace(one, record=record) for one in each]
    writing = Writing(definition, products[0], own[0], name, date)
    path = folder / name

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's remarks on units and long cards
        units = _units(writing, products)
        frames = _frames(writing, products, own)
        write_whole(path, lambda stream: write_units(units, stream, frames))
    return path


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file so that it is there complete or not at all.

    Parameters
    ----------
    path
        The file.
    write
        Gets a stream to write to.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as cause:
        raise FileError(f"{path}: cannot be written: {cause.strerror or cause}") from cause
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _name_fields(definition: DefinitionModel, sources: Sources, product: Any) -> dict[str, Any]:
    if definition.file is None:
        return {}
    meta = getattr(product, "meta", None) or Meta()
    return {
        name: field.value
        if field.value is not None
        else look_up(field.source, sources, meta, "str", product)
        for name, field in definition.file.fields.items()
    }


def _units(writing: Writing, products: list[Any]) -> fits.HDUList:
    """Return the units of the file, the primary one first, without those of frames."""
    declared = list(writing.definition.hdu)
    if not declared or declared[0].name != "PRIMARY":
        declared.insert(0, HduModel(name="PRIMARY"))
    units = fits.HDUList()
    for hdu in declared:
        if hdu.split == "units":
            continue
        if _lacks_planes(writing, hdu, products):
            continue
        planes = [getattr(item, hdu.plane) for item in products] if hdu.plane else []
        try:
            if hdu.is_table and hdu.layers:
                columns = _columns(writing.definition, hdu, products[0])
                unit = table_unit(hdu, planes[0] if planes else None, writing.meta, columns)
            else:
                data = None
                if hdu.planes:
                    data = _layers(writing.definition, hdu, products[0])
                elif planes:
                    data = _image_data(writing.definition, hdu, products, planes)
                primary = hdu.name == "PRIMARY"
                unit = fits.PrimaryHDU(data) if primary else fits.ImageHDU(data, name=hdu.name)
            add_cards(unit.header, writing, hdu)
        except ValueError as wrong:
            raise FileError(f"{writing.file_name}: HDU {hdu.name}: {wrong}") from wrong
        units.append(unit)
    return units


def _lacks_planes(writing: Writing, hdu: HduModel, products: list[Any]) -> bool:
    """Say if a unit cannot be written; `FileError` if it must be."""
    spare = {column.plane for column in hdu.column if not column.required}
    wanted = [(x.plane, item) for x in hdu.layers for item in products if x.plane not in spare]
    absent = [name for name, item in wanted if getattr(item, str(name), None) is None]
    if absent and hdu.required:
        raise FileError(f"{writing.file_name}: HDU {hdu.name}: the product has no {absent[0]}")
    return bool(absent)


def _frames(writing: Writing, products: list[Any], own: list[Sources]) -> Iterator[fits.ImageHDU]:
    """Yield the units of frames one by one, so that one at a time is in memory."""
    hdu = writing.definition.hdu[-1] if writing.definition.hdu else None
    if hdu is None or hdu.split != "units" or _lacks_planes(writing, hdu, products):
        return
    for number, (item, sources) in enumerate(zip(products, own, strict=True), start=1):
        try:
            data = _layers(writing.definition, hdu, item)
            unit = fits.ImageHDU(data, name=hdu.name, ver=number)
            add_cards(unit.header, replace(writing, product=item, sources=sources), hdu)
        except ValueError as wrong:
            raise FileError(f"{writing.file_name}: HDU {hdu.name}: {wrong}") from wrong
        yield unit


def _columns(definition: DefinitionModel, hdu: HduModel, product: Any) -> dict[str, NDArray[Any]]:
    """Return the planes of a product that are columns of a table, with an axis of rows."""
    columns = {
        str(layer.plane): _image_data(
            definition, layer, [product], [getattr(product, str(layer.plane))]
        )
        for layer in hdu.column_layers
        if getattr(product, str(layer.plane), None) is not None
    }
    return {name: plane[None] if hdu.single_row else plane for name, plane in columns.items()}


def _layers(definition: DefinitionModel, hdu: HduModel, product: Any) -> NDArray[Any]:
    """Return the planes of a product as one unit holds them."""
    stored = [
        _image_data(definition, layer, [product], [getattr(product, str(layer.plane))])
        for layer in hdu.layers
    ]
    return np.stack(stored).astype(hdu.dtype, copy=False) if hdu.planes else stored[0]


def _image_data(
    definition: DefinitionModel, hdu: HduModel, products: list[Any], planes: list[Any]
) -> NDArray[Any]:
    """Return the values of an image unit; all frames of the products if it is split."""
    factor = 1.0
    if hdu.quantity:
        factor = unit_factor(planes[0].unit, hdu.unit)
        planes = [plane.value for plane in planes]
    elif hdu.plane != "flags" and hasattr(products[0], "unit"):
        factor = _plane_factor(definition, hdu, products[0])
    if hdu.split != "axis":
        planes = planes[:1]
    bits = None
    if hdu.plane == "flags":
        bits = flag_table(products[0].flag_bits, definition.flag_bits, planes)
    stored = [
        stored_plane(hdu, plane, getattr(item, "flags", None), factor, bits)
        for plane, item in zip(planes, products, strict=False)
    ]
    return np.stack(stored) if hdu.split == "axis" else stored[0]


def _plane_factor(definition: DefinitionModel, hdu: HduModel, product: Any) -> float:
    """Return the factor to the declared unit; a variance's is that of the main plane."""
    if hdu.plane != "variance":
        return unit_factor(product.unit, hdu.unit)
    if hdu.unit is None:
        return 1.0
    power = {"variance": 2.0, "inverse_variance": -2.0, "standard_deviation": 1.0}[hdu.form]
    factor = unit_factor(product.unit**power, hdu.unit)
    return float(np.power(factor, 1.0 / power))
