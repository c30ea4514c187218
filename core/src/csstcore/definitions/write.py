"""Products to files, by definition; a file appears complete or not at all."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits

from csstcore.definitions.cards import Writing, add_cards
from csstcore.definitions.checksum import byte_sum, encode, fold, word_sum
from csstcore.definitions.encode import Layout, blocks, flag_table, layout, unit_factor
from csstcore.definitions.fitsfile import BLOCK
from csstcore.definitions.model import DefinitionModel, HduModel
from csstcore.definitions.names import format_name
from csstcore.definitions.sources import Sources, look_up
from csstcore.definitions.write_table import table_bytes
from csstcore.errors import FileError
from csstcore.products.meta import Meta


def write_product(
    definition: DefinitionModel, product: Any | Sequence[Any], sources: Sources, folder: Path
) -> Path:
    """Write a product as the definition says.

    Parameters
    ----------
    definition
        What the file becomes.
    product
        The product, or the products of a file that holds several frames.
    sources
        Where its keywords come from.
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
    meta = getattr(products[0], "meta", None)
    name = format_name(definition, _name_fields(definition, sources, meta or Meta()))
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    record = {**sources.record, "file_name": name}
    sources = replace(sources, record=record)
    writing = Writing(definition, products[0], sources, name, date)
    path = folder / name

    def write(stream: IO[bytes]) -> None:
        _write_units(stream, writing, products)

    write_whole(path, write)
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
        with open(part, "xb") as stream:
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


def _name_fields(definition: DefinitionModel, sources: Sources, meta: Meta) -> dict[str, Any]:
    if definition.file is None:
        return {}
    return {
        name: field.value
        if field.value is not None
        else look_up(field.source, sources, meta, "str")
        for name, field in definition.file.fields.items()
    }


def _write_units(stream: IO[bytes], writing: Writing, products: list[Any]) -> None:
    units = list(writing.definition.hdu)
    if not units or units[0].name != "PRIMARY":
        units.insert(0, HduModel(name="PRIMARY"))
    for hdu in units:
        planes = [getattr(item, hdu.plane, None) for item in products] if hdu.plane else []
        if any(plane is None for plane in planes):
            if hdu.required:
                raise FileError(
                    f"{writing.file_name}: HDU {hdu.name}: the product has no {hdu.plane}"
                )
            continue
        try:
            if hdu.is_table and planes:
                cards = fits.Header()
                add_cards(cards, writing, hdu)
                stream.write(table_bytes(hdu, planes[0], writing.meta, cards))
            else:
                _write_image(stream, writing, hdu, products, planes)
        except ValueError as wrong:
            raise FileError(f"{writing.file_name}: HDU {hdu.name}: {wrong}") from wrong


def _write_image(
    stream: IO[bytes], writing: Writing, hdu: HduModel, products: list[Any], planes: list[Any]
) -> None:
    """Write an image unit: header, data, and the header again with the sums."""
    stored = None
    parts: Iterable[Any] = ()
    if planes:
        factor = 1.0
        if hdu.quantity:
            factor = unit_factor(planes[0].unit, hdu.unit)
            planes = [plane.value for plane in planes]
        elif hdu.plane != "flags" and hasattr(products[0], "unit"):
            factor = _plane_factor(writing.definition, hdu, products[0])
        if not hdu.split:
            planes = planes[:1]
        stored = layout(hdu, planes)
        flags = [getattr(item, "flags", None) for item in products][: len(planes)]
        bits = None
        if hdu.plane == "flags":
            bits = flag_table(products[0].flag_bits, writing.definition.flag_bits, planes)
        parts = blocks(hdu, stored, planes, flags, factor, bits)
    header = _structure(hdu, stored)
    add_cards(header, writing, hdu)
    header["CHECKSUM"] = ("0" * 16, "checksum of the HDU")
    header["DATASUM"] = ("0", "checksum of the data")
    start = stream.tell()
    stream.write(_bytes(header))
    total, size = 0, 0
    for block in parts:
        total += word_sum(block, size)
        size += block.nbytes
        stream.write((block.byteswap(inplace=True) if block.itemsize > 1 else block).data)
    stream.write(b"\0" * (-size % BLOCK))
    header["DATASUM"] = str(fold(total))
    header["CHECKSUM"] = encode(byte_sum(_bytes(header)) + fold(total))
    stream.seek(start)
    stream.write(_bytes(header))
    stream.seek(0, io.SEEK_END)


def _plane_factor(definition: DefinitionModel, hdu: HduModel, product: Any) -> float:
    """Return the factor to the declared unit; a variance's is that of the main plane."""
    if hdu.plane != "variance":
        return unit_factor(product.unit, hdu.unit)
    if hdu.unit is None:
        return 1.0
    power = {"variance": 2.0, "inverse_variance": -2.0, "standard_deviation": 1.0}[hdu.form]
    factor = unit_factor(product.unit**power, hdu.unit)
    return float(np.power(factor, 1.0 / power))


def _structure(hdu: HduModel, stored: Layout | None) -> fits.Header:
    """Return the cards that follow from the data."""
    header = fits.Header()
    if hdu.name == "PRIMARY":
        header["SIMPLE"] = (True, "conforms to the FITS standard")
    else:
        header["XTENSION"] = ("IMAGE", "image extension")
    header["BITPIX"] = (8 if stored is None else stored.bitpix, "bits per value")
    shape = () if stored is None else stored.shape
    header["NAXIS"] = (len(shape), "number of axes")
    for number, length in enumerate(reversed(shape), start=1):
        header[f"NAXIS{number}"] = length
    if hdu.name == "PRIMARY":
        header["EXTEND"] = (True, "extensions may follow")
    else:
        header["PCOUNT"] = (0, "no parameters")
        header["GCOUNT"] = (1, "one group")
        header["EXTNAME"] = (hdu.name, "name of the extension")
    if stored is not None and stored.zero is not None:
        header["BSCALE"] = (1, "")
        header["BZERO"] = (stored.zero, "unsigned integers")
    return header


def _bytes(header: fits.Header) -> bytes:
    return str(header.tostring(sep="", endcard=True, padding=True)).encode("ascii")
