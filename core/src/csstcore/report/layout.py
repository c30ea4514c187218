"""`LayoutModel`: where the values of a key stand in a picture; a TOML file of a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from csstcore.definitions.load import explain, read_toml
from csstcore.errors import Problems

Length = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeadModel(_Strict):
    """``[layout]``: what the picture is of."""

    name: str
    title: str
    summary: str
    key: str
    """Key of jobs whose values have places."""
    show: tuple[str, ...] = ()
    """Checks and metrics by which the jobs are coloured, the first ones first."""


class PlaceModel(_Strict):
    """``[[place]]``: the place of one value of the key, in any unit of length."""

    value: str | int
    x: float
    """Centre, to the right."""
    y: float
    """Centre, upwards."""
    width: Length
    height: Length
    note: str = ""
    """Shown beside the value, e.g. the filter."""


class LayoutModel(_Strict):
    """A layout."""

    layout: HeadModel
    place: Annotated[tuple[PlaceModel, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _places_are_distinct(self) -> Self:
        values = [str(place.value) for place in self.place]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"more than one [[place]] for {', '.join(twice)}")
        return self


def load_layout(path: Path) -> LayoutModel:
    """Read a layout.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or is not TOML.
    Problems
        With one line for each thing that is wrong in it.
    """
    tree = read_toml(path)
    try:
        return LayoutModel.model_validate(tree)
    except ValidationError as cause:
        raise Problems(f"{path}: not a layout", explain(cause, LayoutModel)) from None
