"""The product type that a definition names."""

from __future__ import annotations

from dataclasses import is_dataclass

from csstcore import products
from csstcore.definitions.model import DefinitionModel
from csstcore.errors import ConfigurationError, nearest
from csstcore.plugins.importing import load


def product_type(definition: DefinitionModel) -> type:
    """Return the product type of a definition: a core type by name, or an import string.

    Raises
    ------
    ConfigurationError
        If there is no such type, or it is no product.
    """
    wanted = definition.definition.product
    kind = load(wanted) if ":" in wanted else getattr(products, wanted, None)
    if not isinstance(kind, type) or not is_dataclass(kind):
        hint = nearest(wanted, products.__all__)
        raise ConfigurationError(
            f"definition {definition.full_name}: {wanted!r} is no product type{hint}"
        )
    return kind
