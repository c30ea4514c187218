"""Opening references: FITS and Parquet by a definition, TOML and JSON into a type, ONNX."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationError, create_model

from csstcore.errors import ConfigurationError, CsstError, ReferenceFileError
from csstcore.plugin import ReferenceType
from csstcore.products import Onnx, Table
from csstcore.references.choose import Choice, contradictions
from csstcore.references.contract import Contract
from csstcore.references.digest import file_sha256
from csstcore.references.parquet import read_parquet
from csstcore.references.rules import toml_problems

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from csstcore.definitions.catalog import Definitions
    from csstcore.definitions.model import DefinitionModel


def load_reference(
    choice: Choice, declaration: ReferenceType, wanted: Any, definitions: Definitions
) -> Any:
    """Open a chosen reference as the product a stage asks for.

    Parameters
    ----------
    choice
        The file; its sha256 is checked at the first use in this process and again whenever
        size or modification time change.
    declaration
        How references of this type are stored.
    wanted
        Type in the stage's signature, e.g. `Image` or a dataclass.
    definitions
        The definitions by which FITS references are read.

    Raises
    ------
    ReferenceFileError
        If the file is damaged, does not have the chosen checksum, or is of another type.
    """
    if choice.parts:
        return _joined(
            choice,
            [load_reference(part, declaration, wanted, definitions) for part in choice.parts],
        )
    found = file_sha256(choice.path)
    if found != choice.sha256:
        raise ReferenceFileError(
            f"reference {choice.path}: sha256 is {found}, expected {choice.sha256}; "
            "the file changed after it was added"
        )
    if declaration.kind in ("toml", "json"):
        return _read_values(choice.path, declaration.kind, wanted)
    product: Any
    if declaration.kind == "onnx":
        product = _open_onnx(choice.path, choice.contract)
    elif declaration.kind == "parquet":
        product = read_parquet(choice.path, _definition(choice.type, declaration, definitions))
    else:
        product = _read_fits(choice, declaration, definitions)
    if isinstance(wanted, type) and not isinstance(product, wanted):
        raise ReferenceFileError(
            f"reference {choice.path}: {choice.type} holds {type(product).__name__}, "
            f"the stage wants {wanted.__name__}"
        )
    return product


def reference_problems(
    path: Path,
    reference_type: str,
    declaration: ReferenceType,
    definitions: Definitions,
    contract: Contract | None = None,
    *,
    named: bool = True,
) -> list[str]:
    """Return everything that is wrong with a file as a reference of a type.

    Parameters
    ----------
    path
        The file.
    reference_type
        Full name of the type.
    declaration
        How references of this type are stored.
    definitions
        The definitions that FITS and Parquet references must satisfy.
    contract
        What a network must take and give.
    named
        Whether the file must be called as its definition says; in a store it need not.
    """
    from csstcore.definitions.validate import validate_file
    from csstcore.plugins.importing import load

    try:
        if declaration.kind == "fits":
            definition = _definition(reference_type, declaration, definitions)
            return list(validate_file(definition, path, named=named))
        if declaration.kind == "parquet":
            read_parquet(path, _definition(reference_type, declaration, definitions))
        elif declaration.kind == "onnx":
            _open_onnx(path, contract)
        else:
            wanted = load(declaration.product) if declaration.product else dict[str, Any]
            _read_values(path, declaration.kind, wanted)
    except CsstError as error:
        return [str(error)]
    return []


def _read_fits(choice: Choice, declaration: ReferenceType, definitions: Definitions) -> Any:
    """Read the one product of a file that is what its rule says it is."""
    from csstcore.definitions.read import read_products
    from csstcore.definitions.recognise import wrong_identity

    path = choice.path
    definition = _definition(choice.type, declaration, definitions)
    read = read_products(definition, path)
    products = read.products
    problems = wrong_identity(definition, read.header)
    for product in products:
        problems += contradictions(choice.match, product.meta)
    if problems:
        raise ReferenceFileError(f"reference {path} is no {choice.type}: {'; '.join(problems)}")
    if len(products) != 1:
        raise ReferenceFileError(
            f"reference {path}: holds {len(products)} products; a reference is exactly one"
        )
    return products[0]


def _joined(choice: Choice, products: Sequence[Any]) -> Any:
    """Return the rows of all files of a partitioned type as one table."""
    from astropy.table import vstack

    if not all(isinstance(product, Table) for product in products):
        raise ReferenceFileError(
            f"references {choice.name}: {choice.type} is partitioned, so it must hold tables"
        )
    rows = vstack([product.table for product in products], metadata_conflicts="silent")
    return replace(products[0], table=rows)


def _definition(
    reference_type: str, declaration: ReferenceType, definitions: Definitions
) -> DefinitionModel:
    if declaration.definition is None:
        raise ConfigurationError(
            f"reference type {reference_type}: kind is {declaration.kind!r} but it names no "
            "definition"
        )
    return definitions.get(declaration.definition)


def _read_values(path: Path, kind: str, wanted: Any) -> Any:
    """Validate a TOML or JSON file into a type; unknown names are refused at every level."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if kind == "toml" else json.loads(text)
    except OSError as error:
        raise ReferenceFileError(f"reference {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of TOML, JSON or UTF-8
        raise ReferenceFileError(f"reference {path}: not valid {kind.upper()}: {error}") from error
    # A dataclass takes its configuration from the model around it.
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    model = create_model("Reference", __config__=config, content=(wanted, ...))
    try:
        return getattr(model.model_validate({"content": content}), "content")  # noqa: B009
    except ValidationError as error:
        problems = [line.removeprefix("content, ") for line in toml_problems(error)]
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise ReferenceFileError(f"reference {path}:\n{lines}") from None


def onnx_contract(path: Path) -> Contract:
    """Return what the network in a file takes and gives.

    Raises
    ------
    ReferenceFileError
        If it cannot be opened.
    """
    return Contract.of(_session(path))


def _open_onnx(path: Path, contract: Contract | None) -> Onnx:
    """Open a network once, which proves that it can be, and read its metadata properties."""
    session = _session(path)
    if contract is not None and (problems := contract.problems(Contract.of(session))):
        raise ReferenceFileError(f"reference {path}: {'; '.join(problems)}")
    return Onnx(path, dict(session.get_modelmeta().custom_metadata_map))


def _session(path: Path) -> InferenceSession:
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ReferenceFileError(
            f"reference {path}: ONNX Runtime is not installed; pip install 'csstcore[onnx]'"
        ) from error
    try:
        return Onnx(path).session(threads=1)
    except Exception as error:  # onnxruntime raises types of its own, derived from Exception
        raise ReferenceFileError(f"reference {path}: not a usable ONNX file: {error}") from error
