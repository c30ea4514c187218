"""The header cards of a unit to be written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time

from csstcore.definitions.hdu_model import HduModel, KeywordModel
from csstcore.definitions.keywords import WrongValue, allowed
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.names import formatted
from csstcore.definitions.sources import Sources, look_up
from csstcore.definitions.units import parse_unit
from csstcore.definitions.wcs import wcs_cards
from csstcore.errors import FileError
from csstcore.products.meta import Meta, undated_leap_seconds

STRUCTURE: Final = frozenset(
    {
        *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "EXTEND"),
        *("PCOUNT", "GCOUNT", "TFIELDS", "EXTNAME", "BSCALE", "BZERO", "CHECKSUM", "DATASUM"),
    }
)
"""Keywords that follow from the data; a definition may declare but not set them."""


@dataclass(frozen=True)
class Writing:
    """What is being written."""

    definition: DefinitionModel
    product: Any
    """The first product, if there are several."""
    sources: Sources
    file_name: str
    date: str

    @property
    def meta(self) -> Meta:
        """Meta of the product."""
        meta = getattr(self.product, "meta", None)
        return meta if isinstance(meta, Meta) else Meta()


def add_cards(header: fits.Header, writing: Writing, hdu: HduModel) -> None:
    """Append the declared keywords of a unit, section by section, and its WCS.

    Raises
    ------
    FileError
        If a required keyword has neither value nor fill, or a value is not allowed.
    """
    own: dict[str, tuple[Any, str]] = {}
    if hdu.name == "PRIMARY":
        own["DATE"] = (writing.date, "time of writing (UTC)")
        own["FILENAME"] = (writing.file_name.removesuffix(".fits")[:68], "name without .fits")
    if hdu.unit is not None and not hdu.is_table:
        own["BUNIT"] = (hdu.unit, "unit of the values")
    if hdu.wcs and getattr(writing.product, "wcs", None) is not None:
        with_size = hdu.is_table or not hdu.layers
        own.update(wcs_cards(writing.product.wcs, with_size=with_size))
    titles = {next(iter(_names(hdu, keyword))): text for keyword, text in hdu.sections.items()}
    for keyword, model in hdu.cards.items():
        if keyword in titles:
            for line in ("=" * 60, titles[keyword], "=" * 60):
                header.append(("COMMENT", line), end=True)
        if keyword in STRUCTURE:
            continue
        given = own.pop(keyword, None)
        value = _keyword_value(writing, hdu, keyword, model, None if given is None else given[0])
        if value is not None:
            comment = _comment(model) or (given[1] if given is not None else "")
            _append(header, writing, keyword, value, comment)
    for keyword, (value, comment) in own.items():
        _append(header, writing, keyword, value, comment)


def _names(hdu: HduModel, keyword: str) -> Iterator[str]:
    """Return the names a declared keyword is written under."""
    model = hdu.keywords[keyword]
    numbers = range(model.first, model.first + (model.count or 1))
    yield from (keyword.format(n, n=n) for n in numbers)


def _keyword_value(
    writing: Writing, hdu: HduModel, keyword: str, model: KeywordModel, own: Any
) -> Any:
    """Return the value to write, or None to leave the keyword out."""
    where = f"{writing.file_name}: HDU {hdu.name}: keyword {keyword}"
    if model.value is not None:
        value: Any = model.value
    elif model.source:
        value = look_up(model.source, writing.sources, writing.meta, model.type, writing.product)
        value = own if value is None else value
    else:
        value = own
    try:
        value = None if value is None else _plain(model, value)
    except (ValueError, TypeError, u.UnitConversionError) as cause:
        raise FileError(f"{where}: {value!r} is not {model.type}: {cause}") from cause
    if value is None:
        return _fill(where, model)
    try:
        return allowed(model, value)
    except WrongValue as wrong:
        raise FileError(f"{where}: {wrong}") from wrong


def _fill(where: str, model: KeywordModel) -> Any:
    """Return what is written for an unknown value."""
    if model.fill is not None:
        return model.fill
    if model.required:
        origin = f" from {' or '.join(model.source)}" if model.source else ""
        raise FileError(f"{where}: no value{origin}, and the definition gives no fill")
    return model.fill_value if model.source else None


def _plain(model: KeywordModel, value: Any) -> Any:
    """Return a value as FITS holds it; None for what is not finite."""
    if isinstance(value, Time) and model.format is None:
        with undated_leap_seconds():
            utc = value.utc
            return utc.isot.removesuffix(".000") if model.type == "str" else float(utc.mjd)
    if isinstance(value, u.Quantity):
        value = value.value if model.unit is None else value.to_value(parse_unit(model.unit))
    if isinstance(value, (np.ndarray, list, tuple)) and np.ndim(value) > 0:
        value = value[model.index or 0]
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if model.type == "float" and model.from_unit is not None and model.unit is not None:
        return float(parse_unit(model.from_unit).to(parse_unit(model.unit), float(value)))
    if model.type == "float":
        return float(value)
    if model.type == "int":
        return int(value)
    if model.type == "bool":
        return bool(value)
    if model.format is not None:
        value = formatted(value, model.format)
    return str(value).encode("ascii", "replace").decode().strip()


def _comment(model: KeywordModel) -> str:
    unit = f"[{model.unit}] " if model.unit else ""
    return unit + model.comment if model.comment else unit.strip()


def _append(header: fits.Header, writing: Writing, keyword: str, value: Any, comment: str) -> None:
    """Append a card; astropy cuts a comment that does not fit."""
    try:
        header.append((keyword, value, comment), end=True)
        str(header.cards[-1])
    except ValueError as cause:
        raise FileError(f"{writing.file_name}: keyword {keyword}: {value!r}: {cause}") from cause
