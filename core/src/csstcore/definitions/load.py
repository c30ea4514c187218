"""Read a definition's TOML and say everything that is wrong with it at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from csstcore.definitions.model import DefinitionModel
from csstcore.errors import ConfigurationError, Problems, nearest


def load_definition(path: Path) -> DefinitionModel:
    """Read a definition.

    Parameters
    ----------
    path
        The TOML file.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or is not TOML.
    Problems
        With one line for each thing that is wrong in it.
    """
    tree = read_toml(path)
    try:
        model = DefinitionModel.model_validate(tree)
    except ValidationError as cause:
        raise Problems(f"{path}: not a definition", explain(cause, DefinitionModel)) from None
    return model.bound("", path, None)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as cause:
        raise ConfigurationError(f"{path}: cannot be read: {cause.strerror}") from cause
    except (ValueError, RecursionError) as cause:  # of TOML or UTF-8
        raise ConfigurationError(f"{path}: not a TOML file: {cause}") from cause


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line per problem: table, key, found, expected, and the nearest valid key."""
    lines = []
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _keys_at(model, problem["loc"][:-1])
            name = str(problem["loc"][-1])
            lines.append(f"{where}: unknown key{nearest(name, known)}; known: {', '.join(known)}")
        elif problem["type"] == "missing":
            lines.append(f"{where}: missing")
        elif problem["type"] == "value_error":
            text = problem["msg"].removeprefix("Value error, ")
            lines.extend(f"{where}: {part}" if where else part for part in text.split("; "))
        else:
            lines.append(f"{where}: {problem['msg']}; found {_short(problem['input'])}")
    return lines


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(model: type[BaseModel], where: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at `where` may have."""
    skip = False
    for part in where:
        if skip:
            skip = False
            continue
        for name, field in model.model_fields.items():
            if part == (field.alias or name):
                inner = _model_in(field.annotation)
                if inner is not None:
                    model = inner
                    skip = get_origin(field.annotation) in (dict, tuple, list)
    return [field.alias or name for name, field in model.model_fields.items() if not field.exclude]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first model inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
