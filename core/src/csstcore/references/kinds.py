"""Opening references: FITS by its definition, TOML into a type, ONNX."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationError, create_model

from csstcore.errors import ConfigurationError, CsstError, ReferenceFileError
from csstcore.plugin import ReferenceType
from csstcore.products import Onnx
from csstcore.references.choose import Choice
from csstcore.references.digest import file_sha256
from csstcore.references.rules import toml_problems

if TYPE_CHECKING:
    from csstcore.definitions.catalog import Definitions


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
    found = file_sha256(choice.path)
    if found != choice.sha256:
        raise ReferenceFileError(
            f"reference {choice.path}: sha256 is {found}, expected {choice.sha256}; "
            "the file changed after it was added"
        )
    if declaration.kind == "toml":
        return _read_toml(choice.path, wanted)
    product = (
        _open_onnx(choice.path)
        if declaration.kind == "onnx"
        else _read_fits(choice.path, choice.type, declaration, definitions)
    )
    if isinstance(wanted, type) and not isinstance(product, wanted):
        raise ReferenceFileError(
            f"reference {choice.path}: {choice.type} holds {type(product).__name__}, "
            f"the stage wants {wanted.__name__}"
        )
    return product


def reference_problems(
    path: Path, reference_type: str, declaration: ReferenceType, definitions: Definitions
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
        The definitions that FITS references must satisfy.
    """
    from csstcore.definitions.validate import validate_file
    from csstcore.plugins.importing import load

    try:
        if declaration.kind == "fits":
            definition = definitions.get(_definition_name(reference_type, declaration))
            return list(validate_file(definition, path))
        if declaration.kind == "onnx":
            _open_onnx(path)
        else:
            _read_toml(path, load(declaration.product) if declaration.product else dict[str, Any])
    except CsstError as error:
        return [str(error)]
    return []


def _read_fits(
    path: Path, reference_type: str, declaration: ReferenceType, definitions: Definitions
) -> Any:
    from csstcore.definitions.read import read_products

    definition = definitions.get(_definition_name(reference_type, declaration))
    products = read_products(definition, path).products
    if len(products) != 1:
        raise ReferenceFileError(
            f"reference {path}: holds {len(products)} products; a reference is exactly one"
        )
    return products[0]


def _definition_name(reference_type: str, declaration: ReferenceType) -> str:
    if declaration.definition is None:
        raise ConfigurationError(
            f"reference type {reference_type}: kind is 'fits' but it names no definition"
        )
    return declaration.definition


def _read_toml(path: Path, wanted: Any) -> Any:
    """Validate a TOML file into a type; unknown names are refused at every level."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReferenceFileError(f"reference {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReferenceFileError(f"reference {path}: not valid TOML: {error}") from error
    # A dataclass takes its configuration from the model around it.
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    model = create_model("Reference", __config__=config, content=(wanted, ...))
    try:
        return getattr(model.model_validate({"content": content}), "content")  # noqa: B009
    except ValidationError as error:
        problems = [line.removeprefix("content, ") for line in toml_problems(error)]
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise ReferenceFileError(f"reference {path}:\n{lines}") from None


def _open_onnx(path: Path) -> Onnx:
    """Open a network once, which proves that it can be, and read its metadata properties."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ReferenceFileError(
            f"reference {path}: ONNX Runtime is not installed; pip install 'csstcore[onnx]'"
        ) from error
    try:
        properties = Onnx(path).session(threads=1).get_modelmeta().custom_metadata_map
    except Exception as error:  # onnxruntime raises types of its own, derived from Exception
        raise ReferenceFileError(f"reference {path}: not a usable ONNX file: {error}") from error
    return Onnx(path, dict(properties))
