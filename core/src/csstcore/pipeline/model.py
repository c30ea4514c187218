"""The TOML of a pipeline as pydantic models."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from csstcore.errors import ConfigurationError, Problems, nearest

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
FullName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$")]


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is named twice")
    return names


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("the list is empty")
    return values


def _scalar(value: Any) -> Any:
    if not isinstance(value, (str, int, float, bool)):
        raise ValueError("expected text, a number, true or false")
    return value


def _form(value: Any) -> str:
    """Return the tag of what TOML gave, so that only its own form is judged."""
    if isinstance(value, (list, tuple)):
        return "<list>"
    return "<table>" if isinstance(value, (dict, Range)) else "<value>"


Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]
Names = Annotated[tuple[Name, ...], AfterValidator(_distinct)]
FullNames = Annotated[
    Annotated[FullName, Tag("<value>")]
    | Annotated[FullName, Tag("<table>")]
    | Annotated[
        tuple[FullName, ...], AfterValidator(_not_empty), AfterValidator(_distinct), Tag("<list>")
    ],
    Discriminator(_form),
]
"""One full name or several different ones."""


class Strict(BaseModel):
    """A table that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Strict):
    """Limits, both included."""

    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Range:
        if self.minimum is None and self.maximum is None:
            raise ValueError("needs minimum, maximum or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is larger than maximum")
        return self


Condition = Annotated[
    Annotated[Scalar, Tag("<value>")]
    | Annotated[tuple[Scalar, ...], AfterValidator(_not_empty), Tag("<list>")]
    | Annotated[Range, Tag("<table>")],
    Discriminator(_form),
]
"""What a key must be: a value, one of several, or within limits."""


class PipelineHeader(Strict):
    """``[pipeline]``."""

    name: Name
    summary: str
    group_by: Names = ()
    aliases: tuple[str, ...] = ()


class InputModel(Strict):
    """One input of ``[inputs]``."""

    definition: FullNames
    where: dict[Name, Condition] = Field(default_factory=dict)
    many: bool = False
    minimum: int | None = Field(default=None, ge=1)
    by: Names | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _minimum_needs_many(self) -> InputModel:
        if self.minimum is not None and not self.many:
            raise ValueError("minimum needs many = true")
        return self

    @property
    def definitions(self) -> tuple[str, ...]:
        """Full names of the definitions whose files make up one product."""
        return (self.definition,) if isinstance(self.definition, str) else self.definition


class StageModel(Strict):
    """One ``[[stage]]``."""

    use: FullName
    id: Name | None = None
    bindings: dict[Name, Name] = Field(default_factory=dict, alias="in")
    out: dict[Name, Name] = Field(default_factory=dict)
    references: dict[Name, FullName] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)
    required: bool = True

    @property
    def step(self) -> str:
        """The id: given, or the stage's own name."""
        return self.id or self.use.partition(".")[2]


class PipelineModel(Strict):
    """A pipeline file."""

    pipeline: PipelineHeader
    requires: dict[str, str] = Field(default_factory=dict)
    inputs: dict[Name, InputModel] = Field(min_length=1)
    stage: tuple[StageModel, ...] = Field(min_length=1)
    outputs: dict[Name, FullNames] = Field(min_length=1)


def load_pipeline(path: Path) -> tuple[PipelineModel, str]:
    """Read a pipeline file.

    Returns
    -------
    model, text
        The validated model and the file's text.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or is no TOML; `Problems` with everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read pipeline {path}: {error}") from error
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    try:
        return PipelineModel.model_validate(content), text
    except ValidationError as error:
        problems = sorted({_problem(item, content) for item in error.errors()})
        raise Problems(str(path), problems) from error


_MODELS: dict[str, type[BaseModel]] = {
    "": PipelineModel,
    "pipeline": PipelineHeader,
    "inputs": InputModel,
    "stage": StageModel,
}


def _problem(error: Any, content: dict[str, Any]) -> str:
    """One validation error as a line that names table and key."""
    location = [part for part in error["loc"] if part not in ("<value>", "<list>", "<table>")]
    table = str(location[0]) if location else ""
    shown = ".".join(str(part) for part in location)
    if table == "stage" and len(location) > 1 and isinstance(location[1], int):
        stages = content.get("stage")
        stage = stages[location[1]] if isinstance(stages, list) else {}
        use = stage.get("id") or stage.get("use") if isinstance(stage, dict) else None
        rest = ".".join(str(part) for part in location[2:])
        shown = f"stage {location[1] + 1}" + (f" ({use})" if use else "") + f", {rest}"
    if error["type"] == "extra_forbidden":
        model = _MODELS.get(table if len(location) > 1 else "", PipelineModel)
        if location[2:3] == ["where"]:
            model = Range
        valid = [field.alias or name for name, field in model.model_fields.items()]
        return f"{shown}: unknown key{nearest(str(location[-1]), valid)}"
    if error["type"] == "missing":
        return f"{shown}: missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{shown}: {message}; found {error['input']!r}"
