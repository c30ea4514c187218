"""What a stage says beside its products: caveats and metrics.

`caveat` and `metric` are plain calls. Under the framework the run collects them into the
record; anywhere else they do nothing, so that a stage can be called in a notebook.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Notes:
    """Caveats and metrics of one stage call."""

    caveats: list[str] = field(default_factory=list)
    metrics: dict[str, float | int | str | bool] = field(default_factory=dict)


_current: ContextVar[Notes | None] = ContextVar("csstcore_notes", default=None)


def caveat(why: str) -> None:
    """Mark the running stage as done with a reservation.

    Parameters
    ----------
    why
        The reservation, as a sentence for the operator.
    """
    notes = _current.get()
    if notes is not None:
        notes.caveats.append(why)


def metric(name: str, value: float | int | str | bool) -> None:
    """Keep a number of the running stage in the record.

    Parameters
    ----------
    name
        Name by which definitions refer to it (``from = "metric.zero_point"``).
    value
        A plain number or string; numpy scalars are converted.
    """
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, (bool, int, float, str)):
        raise TypeError(f"metric {name!r} is {type(value).__name__}; expected a number or a string")
    notes = _current.get()
    if notes is not None:
        notes.metrics[name] = plain


@contextmanager
def collecting() -> Iterator[Notes]:
    """Collect the caveats and metrics of all calls made inside the block."""
    notes = Notes()
    token = _current.set(notes)
    try:
        yield notes
    finally:
        _current.reset(token)
