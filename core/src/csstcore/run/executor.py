"""The interface between a run and whatever executes its jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Task:
    """One job to execute."""

    name: str
    payload: str
    """JSON for `csstcore.run.worker.execute`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended."""

    name: str
    result: str
    """JSON that the worker returned; empty if it died."""
    death: str = ""
    """Why there is no result, e.g. ``worker died (signal 9, out of memory?)``."""


class Executor(Protocol):
    """Executes tasks anywhere that sees the same files.

    A distributed engine fits behind this: for each task it calls
    ``csstcore.run.worker.execute(setup, payload)`` in a process of its own, and reports
    tasks in whatever order they end.
    """

    def run(self, setup: str, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Execute all tasks and yield one outcome for each."""
        ...

    def kill(self) -> None:
        """End everything at once; running tasks are lost."""
        ...
