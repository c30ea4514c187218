"""Whether what the plugins declare is really there: files that can be read, targets that import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from csstcore.definitions.catalog import Definitions
from csstcore.errors import CsstError
from csstcore.pipeline.model import load_pipeline
from csstcore.plugin import (
    Check,
    Definition,
    Figure,
    Layout,
    Pipeline,
    Reader,
    ReferenceRules,
    ReferenceType,
    Stage,
)
from csstcore.plugins.importing import load
from csstcore.plugins.registry import Declared, Registry
from csstcore.references.rules import read_rules
from csstcore.report.layout import load_layout

KINDS: Final = (
    *(Stage, Pipeline, Definition, Reader),
    *(ReferenceType, ReferenceRules, Check, Figure, Layout),
)


def unsound(registry: Registry) -> list[tuple[str, str]]:
    """Return kind and full name of every declaration that is not as declared, and why.

    Every file is read and every target imported: this takes seconds.
    """
    definitions = Definitions(registry)
    return list(_problems(registry, definitions))


def _problems(registry: Registry, definitions: Definitions) -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        found: Any = registry.declared(kind)
        for name, declared in found.items():
            try:
                _examine(declared, definitions)
            except CsstError as error:
                yield f"{kind.__name__} {name}", str(error)


def _examine(declared: Declared[Any], definitions: Definitions) -> None:
    declaration = declared.declaration
    match declaration:
        case Pipeline():
            load_pipeline(declared.path)
        case Definition():
            definitions.get(declared.full_name)
        case ReferenceRules():
            read_rules(declared.path, declaration.name, need_sha256=False)
        case ReferenceType():
            if declaration.product is not None:
                load(declaration.product)
        case Layout():
            load_layout(declared.path)
        case _:
            load(declaration.target)
