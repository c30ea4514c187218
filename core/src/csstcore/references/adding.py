"""Adding a file to a store: checked, with a rule that its own header suggests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from csstcore.errors import ConfigurationError, Problems
from csstcore.plugin import ReferenceType
from csstcore.products.meta import Meta, plain_value
from csstcore.references.choose import MATCHED, Entry, contradictions
from csstcore.references.kinds import onnx_contract, reference_problems
from csstcore.references.rules import conditions
from csstcore.references.store import ReferenceStore

if TYPE_CHECKING:
    from csstcore.definitions.catalog import Definitions


def add_checked(
    store: ReferenceStore,
    definitions: Definitions,
    reference_type: str,
    file: Path,
    match: Mapping[str, Any],
    useafter: datetime | Literal["always"] | None = None,
) -> Entry:
    """Check a file as a reference and add it with a rule.

    Parameters
    ----------
    match
        Wins over what the header of a FITS file gives for `MATCHED`; an empty value leaves a
        field out.
    useafter
        Start of validity; None takes the time in the header of a FITS file.

    Raises
    ------
    CsstError
        If the file is no such reference, or the rule is wrong or ambiguous.
    """
    declaration = store.registry.get(ReferenceType, reference_type).declaration
    contract = None
    if declaration.kind == "onnx":
        store.make_folder()
        contract = store.contract(reference_type) or onnx_contract(file)
    problems = reference_problems(file, reference_type, declaration, definitions, contract)
    if problems:
        raise Problems(f"{file} is no reference of type {reference_type}", problems)
    meta = Meta()
    if declaration.kind == "fits" and declaration.definition is not None:
        meta = meta_of(definitions, file, declaration.definition)
    if useafter is None and meta.time is not None:
        useafter = meta.time.utc.to_datetime(timezone=UTC)
    wanted = {field: plain_value(meta, field) for field in MATCHED} | dict(match)
    wanted = {field: value for field, value in wanted.items() if value not in (None, "")}
    try:
        problems = contradictions(conditions(wanted), meta)
    except ValueError as error:
        raise ConfigurationError(f"match of {file}: {error}") from None
    if problems:
        raise Problems(f"{file} is not for the observations of its rule", problems)
    start = None if useafter == "always" else useafter
    return store.add(reference_type, file, wanted, start, contract)


def meta_of(definitions: Definitions, file: Path, name: str) -> Meta:
    """Return the core fields of a file by a definition."""
    from csstcore.definitions.header import read_header
    from csstcore.definitions.meta import read_meta

    definition = definitions.get(name)
    return read_meta(definition, read_header(definition, file))
