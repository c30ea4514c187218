"""Runs without worker processes and without a progress display, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from csstcore.run.executor import Outcome, Task
from csstcore.run.request import JobSummary
from csstcore.run.worker import execute


class InProcess:
    """Executes jobs in this process, one after the other."""

    def __init__(self, *_: object) -> None:
        pass

    def run(self, setup: str, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each task."""
        for task in tasks:
            yield Outcome(task.name, execute(setup, task.payload))

    def kill(self) -> None:
        """Do nothing: no process is to be killed."""


class Silent:
    """Shows no progress."""

    def start(self, total: int, kept: int) -> None:
        """Say nothing."""

    def ended(self, job: JobSummary) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""
