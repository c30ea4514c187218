"""Markers for the annotations of a stage's signature."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar


class Marker:
    """A sentinel inside `typing.Annotated`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


IN_PLACE: Final = Marker("InPlace")
REFERENCE: Final = Marker("Reference")

T = TypeVar("T")

InPlace = Annotated[T, IN_PLACE]
"""An input that the stage may change: ``image: InPlace[Image]``."""

Reference = Annotated[T, REFERENCE]
"""An input chosen by the core before the run: ``bias: Reference[Image]``."""
