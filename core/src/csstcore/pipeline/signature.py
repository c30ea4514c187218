"""Read a stage's declaration from its signature.

Positional parameters are inputs and references, keyword-only ones are parameters, the
return annotation names the outputs. Every way to get it wrong raises a
`ConfigurationError` that says how to mend it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, create_model
from pydantic.errors import PydanticUserError

from csstcore.errors import ConfigurationError
from csstcore.markers import IN_PLACE, REFERENCE, Marker


@dataclass(frozen=True, slots=True)
class Input:
    """A product that the stage takes."""

    name: str
    type: type
    series: bool = False
    optional: bool = False
    in_place: bool = False
    optional_elements: bool = False


@dataclass(frozen=True, slots=True)
class ReferenceInput:
    """A reference that the core chooses for the stage."""

    name: str
    type: type
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """A product that the stage gives."""

    name: str
    type: type
    series: bool = False
    optional_elements: bool = False
    replaces: bool = False
    """The unnamed output: the input of this name, changed in place."""


@dataclass(frozen=True, slots=True)
class StageSignature:
    """What a stage takes and gives."""

    inputs: tuple[Input, ...]
    references: tuple[ReferenceInput, ...]
    parameters: type[BaseModel]
    generator: str | None
    """Name of the parameter that wants a `numpy.random.Generator`."""
    outputs: tuple[Output, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """Names of inputs and references."""
        return (
            *(item.name for item in self.inputs),
            *(reference.name for reference in self.references),
        )


@dataclass(frozen=True, slots=True)
class _Annotation:
    """An annotation taken apart."""

    type: Any
    optional: bool = False
    series: bool = False
    optional_elements: bool = False
    markers: tuple[Marker, ...] = ()
    label: str | None = None


def inspect_stage(function: Callable[..., Any], name: str) -> StageSignature:
    """Return the declaration of a stage.

    Parameters
    ----------
    function
        The stage.
    name
        Its full name, for messages.

    Raises
    ------
    ConfigurationError
        If the signature breaks a rule; the message says how to mend it.
    """
    _require_function(function, name)
    hints = _type_hints(function, name)
    inputs: list[Input] = []
    references: list[ReferenceInput] = []
    fields: dict[str, Any] = {}
    generators: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        where = f"stage {name}, parameter {parameter.name!r}"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"{where}: * and ** parameters cannot be wired; name every parameter"
            )
        if parameter.name not in hints:
            raise ConfigurationError(f"{where} has no annotation; write its type")
        annotation = _take_apart(hints[parameter.name])
        if parameter.kind is not parameter.KEYWORD_ONLY:
            item = _positional(parameter, annotation, where)
            if isinstance(item, Input):
                inputs.append(item)
            else:
                references.append(item)
        elif annotation.type is np.random.Generator:
            generators.append(parameter.name)
        else:
            _require_parameter(parameter.name, annotation, where)
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
    if len(generators) > 1:
        raise ConfigurationError(
            f"stage {name} asks for {len(generators)} random generators; one is enough"
        )
    outputs = _outputs(hints, inputs, name)
    _require_changes_returned(inputs, outputs, name)
    return StageSignature(
        tuple(inputs),
        tuple(references),
        _parameter_model(fields, name),
        generators[0] if generators else None,
        outputs,
    )


def _require_function(function: Callable[..., Any], name: str) -> None:
    kind = ""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        kind = "a coroutine"
    elif inspect.isgeneratorfunction(function):
        kind = "a generator (it has a yield)"
    elif not inspect.isfunction(function):
        kind = type(function).__name__
    if kind:
        raise ConfigurationError(
            f"stage {name} is {kind}; write a plain function with def and return"
        )


def _type_hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"stage {name}: annotation {error.name!r} does not resolve at run time; "
            "import it outside 'if TYPE_CHECKING'"
        ) from error
    except TypeError as error:
        raise ConfigurationError(f"stage {name}: an annotation is wrong: {error}") from error


def _take_apart(annotation: Any) -> _Annotation:
    """Strip ``Annotated``, ``| None`` and ``Sequence`` off an annotation."""
    markers: tuple[Marker, ...] = ()
    label: str | None = None
    optional = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extras = get_args(annotation)
            markers += tuple(extra for extra in extras if isinstance(extra, Marker))
            label = next((e for e in extras if isinstance(e, str)), label)
            continue
        bare = _without_none(annotation)
        if bare is not None:
            annotation, optional = bare, True
            continue
        break
    if get_origin(annotation) is Sequence:
        element = get_args(annotation)[0]
        bare = _without_none(element)
        return _Annotation(bare or element, optional, True, bare is not None, markers, label)
    return _Annotation(annotation, optional, markers=markers, label=label)


def _without_none(annotation: Any) -> Any | None:
    """Return T of ``T | None``, or None if the annotation is not of that form."""
    if get_origin(annotation) not in (Union, UnionType):
        return None
    rest = [argument for argument in get_args(annotation) if argument is not NoneType]
    return rest[0] if len(rest) == 1 and len(get_args(annotation)) == 2 else None


def _is_product(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _shown(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _positional(
    parameter: inspect.Parameter, annotation: _Annotation, where: str
) -> Input | ReferenceInput:
    if annotation.type is np.random.Generator:
        raise ConfigurationError(f"{where}: put the random generator after a bare *")
    if get_origin(annotation.type) in (list, tuple):
        raise ConfigurationError(f"{where}: a series is written Sequence[...]")
    if not _is_product(annotation.type):
        raise ConfigurationError(
            f"{where} has type {_shown(annotation.type)}, which is no product (a dataclass); "
            "if it is a setting, put it after a bare *"
        )
    if parameter.default is not parameter.empty and not (
        parameter.default is None and annotation.optional
    ):
        raise ConfigurationError(
            f"{where} has the default {parameter.default!r}; "
            "a product may only default to None, with type T | None"
        )
    if len(annotation.markers) > 1:
        shown = " and ".join(map(repr, annotation.markers))
        raise ConfigurationError(
            f"{where} is marked {shown}; keep one: a reference is shared and stays unchanged"
        )
    if REFERENCE in annotation.markers:
        if annotation.series:
            raise ConfigurationError(f"{where}: a reference is one product, not a Sequence")
        return ReferenceInput(parameter.name, annotation.type, annotation.optional)
    in_place = IN_PLACE in annotation.markers
    if in_place and annotation.series:
        raise ConfigurationError(
            f"{where}: a series is not changed in place; "
            "write the stage for one element, it is mapped over a series"
        )
    if in_place and annotation.optional:
        raise ConfigurationError(f"{where}: what is changed in place cannot be absent")
    return Input(
        parameter.name,
        annotation.type,
        annotation.series,
        annotation.optional,
        in_place,
        annotation.optional_elements,
    )


def _require_parameter(name: str, annotation: _Annotation, where: str) -> None:
    if name.startswith("_") or hasattr(BaseModel, name):
        raise ConfigurationError(
            f"{where}: pydantic keeps names that begin with an underscore and those of its "
            "models (copy, json, schema ...); give the parameter another name"
        )
    if annotation.markers or _is_product(annotation.type):
        raise ConfigurationError(f"{where} is a product or a reference; put it before the bare *")


def _parameter_model(fields: dict[str, Any], name: str) -> type[BaseModel]:
    try:
        return create_model(
            f"parameters of {name}",
            __config__=ConfigDict(
                extra="forbid",
                validate_default=True,
                arbitrary_types_allowed=False,
                protected_namespaces=(),
            ),
            **fields,
        )
    except PydanticUserError as error:
        raise ConfigurationError(
            f"stage {name}: a parameter has a type that TOML cannot give: {error.message}"
        ) from error


def _outputs(hints: dict[str, Any], inputs: list[Input], name: str) -> tuple[Output, ...]:
    if "return" not in hints:
        raise ConfigurationError(
            f"stage {name} has no return annotation; "
            'write -> Annotated[Image, "image"], or the type of its InPlace input'
        )
    returned = hints["return"]
    elements = get_args(returned) if get_origin(returned) is tuple else (returned,)
    if get_origin(returned) is tuple and len(elements) < 2:
        raise ConfigurationError(
            f"stage {name} returns a tuple of {len(elements)}; "
            'a single product is returned as it is: -> Annotated[Image, "image"]'
        )
    outputs = tuple(_output(_take_apart(element), inputs, name) for element in elements)
    names = [output.name for output in outputs]
    for twice in {output for output in names if names.count(output) > 1}:
        raise ConfigurationError(f"stage {name} returns {twice!r} twice; give each its own name")
    return outputs


def _output(annotation: _Annotation, inputs: list[Input], name: str) -> Output:
    if annotation.type in (NoneType, inspect.Parameter.empty):
        raise ConfigurationError(f"stage {name} returns nothing; a stage gives products")
    if annotation.optional:
        raise ConfigurationError(
            f"stage {name} may return None; raise NotApplicable instead "
            "(only elements of a Sequence may be None)"
        )
    if not _is_product(annotation.type):
        raise ConfigurationError(
            f"stage {name} returns {_shown(annotation.type)}, which is no product (a dataclass)"
        )
    if annotation.label is not None:
        if not annotation.label.isidentifier():
            raise ConfigurationError(
                f"stage {name}: the output name {annotation.label!r} is no identifier"
            )
        return Output(
            annotation.label, annotation.type, annotation.series, annotation.optional_elements
        )
    in_place = [item for item in inputs if item.in_place]
    if len(in_place) != 1 or annotation.series:
        raise ConfigurationError(
            f"stage {name}: an unnamed return needs exactly one InPlace input, it has "
            f'{len(in_place)}; name it: -> Annotated[{_shown(annotation.type)}, "name"]'
        )
    if annotation.type is not in_place[0].type:
        raise ConfigurationError(
            f"stage {name}: the unnamed return is {_shown(annotation.type)}, its InPlace input "
            f"{in_place[0].name!r} is {_shown(in_place[0].type)}; they must be the same"
        )
    return Output(in_place[0].name, annotation.type, replaces=True)


def _require_changes_returned(inputs: list[Input], outputs: tuple[Output, ...], name: str) -> None:
    """Refuse a change in place that nobody would see: the run keeps what is returned."""
    returned = {output.name for output in outputs}
    for item in inputs:
        if item.in_place and item.name not in returned:
            shown = _shown(item.type)
            raise ConfigurationError(
                f"stage {name}: {item.name!r} is InPlace but not returned, so its change would "
                f'be lost; return it too, as {shown} or Annotated[{shown}, "{item.name}"], '
                "or take it without InPlace"
            )
