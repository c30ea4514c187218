"""Product types by name, and products from their planes."""

from __future__ import annotations

import dataclasses
from typing import Any

import csstcore.products
from csstcore.errors import ConfigurationError, nearest
from csstcore.plugins.importing import load


def product_type(name: str) -> type[Any]:
    """Return the product type that a definition names.

    Parameters
    ----------
    name
        A core type (``Image``) or an import string (``package.module:Type``).

    Raises
    ------
    ConfigurationError
        If it is neither.
    """
    if ":" in name:
        found = load(name)
        if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
            raise ConfigurationError(f"product {name!r} is not a dataclass")
        return found
    if name not in csstcore.products.__all__:
        known = csstcore.products.__all__
        raise ConfigurationError(
            f"product {name!r} is not a type of the core{nearest(name, known)}; "
            f"expected one of {', '.join(known)} or 'package.module:Type'"
        )
    found = getattr(csstcore.products, name)
    assert isinstance(found, type)  # noqa: S101 - for the type checker
    return found


def build(kind: type[Any], planes: dict[str, Any]) -> Any:
    """Return a product from its planes, unit, flags and meta; what it has no field for is left out.

    Raises
    ------
    ValueError
        If a plane it cannot do without is absent, or the planes do not fit together.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    missing = [
        name
        for name, field in fields.items()
        if name not in planes
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"has no plane for {kind.__name__}.{', '.join(missing)}")
    return kind(**{name: value for name, value in planes.items() if name in fields})
