"""Fields of a product that are keywords in its file."""

from __future__ import annotations

from typing import Any

from csstcore.definitions.hdu_model import PRODUCT_FIELD
from csstcore.definitions.header import Header
from csstcore.definitions.model import DefinitionModel


def product_field(product: Any, text: str) -> Any:
    """Return what a product has in a field, a part, an axis or a cell; None if nothing.

    Parameters
    ----------
    product
        Any product.
    text
        What follows ``product.`` in a definition's ``from``: ``FIELD``, ``FIELD[2]``,
        ``FIELD.shape[2]`` or ``FIELD.COLUMN[2]``.
    """
    match = PRODUCT_FIELD.fullmatch(text)
    value = None if match is None else getattr(product, match["field"], None)
    if match is None or value is None:
        return None
    try:
        if match["axis"] is not None:
            return value.shape[int(match["axis"])]
        if match["column"] is not None:
            return value[match["column"]][int(match["row"])]
        return value if match["part"] is None else value[int(match["part"])]
    except (IndexError, KeyError, TypeError, AttributeError):
        return None


def read_fields(definition: DefinitionModel, header: Header) -> dict[str, Any]:
    """Return the fields of the product that the keywords of a file give.

    The parts ``FIELD[0]``, ``FIELD[1]`` .. become a tuple. Lengths of axes and cells of tables give
    nothing, nor does a keyword that is absent or has its fill value.

    Parameters
    ----------
    definition
        What the file is.
    header
        Its header.
    """
    fields: dict[str, Any] = {}
    parts: dict[str, dict[int, Any]] = {}
    for hdu in definition.hdu:
        for keyword, model in hdu.cards.items():
            value = header.get(keyword)
            if value is None or value == model.fill_value:
                continue
            for origin in model.source:
                kind, _, text = origin.partition(".")
                match = PRODUCT_FIELD.fullmatch(text)
                if kind != "product" or match is None or match["axis"] or match["column"]:
                    continue
                if match["part"] is None:
                    fields.setdefault(match["field"], value)
                else:
                    parts.setdefault(match["field"], {})[int(match["part"])] = value
    for name, found in parts.items():
        if sorted(found) == list(range(len(found))):
            fields.setdefault(name, tuple(found[index] for index in sorted(found)))
    return fields
