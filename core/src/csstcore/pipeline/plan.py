"""A checked pipeline: every name resolved, every value with its origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from csstcore.pipeline.model import InputModel, PipelineModel
from csstcore.pipeline.signature import StageSignature

Origin = Literal["default", "pipeline", "command line", "job key"]


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter's value and where it comes from."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Binding:
    """What a stage's positional parameter receives."""

    kind: Literal["product", "reference", "nothing"]
    name: str = ""
    """Product name, or full name of the reference type."""


@dataclass(frozen=True, slots=True)
class PlanInput:
    """An input of the pipeline."""

    name: str
    type: type
    model: InputModel

    @property
    def definitions(self) -> tuple[str, ...]:
        """Full names of the definitions of its files."""
        return self.model.definitions


@dataclass(frozen=True, slots=True)
class PlanOutput:
    """A product that is written."""

    name: str
    type: type
    definitions: tuple[str, ...]
    series: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the pipeline, ready to call."""

    id: str
    use: str
    function: Callable[..., Any]
    distribution: str
    version: str
    signature: StageSignature
    bindings: Mapping[str, Binding]
    parameters: Mapping[str, Value]
    """Values of the keyword-only parameters; those that are job keys hold the key's name."""
    outputs: Mapping[str, str]
    """Output name to product name."""
    required: bool
    mapped: bool
    """Called once per element of the series bound to inputs that take one product."""
    live_after: frozenset[str]
    """Products that a later step or an output still reads."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline that passed the static check."""

    name: str
    path: Path
    text_sha256: str
    model: PipelineModel
    inputs: tuple[PlanInput, ...]
    steps: tuple[Step, ...]
    outputs: tuple[PlanOutput, ...]
    distributions: Mapping[str, str]
    """Version of every distribution that the pipeline names, its own included."""

    @property
    def group_by(self) -> tuple[str, ...]:
        """Keys whose values make a job."""
        return self.model.pipeline.group_by

    @property
    def summary(self) -> str:
        """One line about the pipeline."""
        return self.model.pipeline.summary
