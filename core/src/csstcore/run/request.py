"""What is asked of a run, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csstcore.errors import EXIT_ALL_FAILED, EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED
from csstcore.run.resume import Decision
from csstcore.run.status import Status


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a run."""

    pipeline: str
    paths: Sequence[Path]
    output: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    references: Path | str | None = None
    """The reference store: a folder, or the location of a remote one."""
    context: str | None = None
    """Name of the context whose rules choose; None for the current rules."""
    overrides: Mapping[str, Path] = field(default_factory=dict)
    jobs: int = 1
    """Worker processes."""
    shard: tuple[int, int] | None = None
    """This run's part, from 1, and the number of parts."""
    seed: int = 0
    retry: bool = False
    """Whether jobs whose data could not be processed are tried again."""
    superseded: bool = False
    """Whether only jobs whose best references changed are run."""
    figures: bool | None = None
    """Pictures for every job, for none, or (None) only when there are few."""


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job that ran, or that was kept from an earlier run."""

    job: str
    status: Status
    why: str = ""
    kept: bool = False
    """Unchanged since an earlier run, and not run again."""


@dataclass(slots=True)
class Summary:
    """What came of a run."""

    run: str
    pipeline: str
    folder: Path
    """The run folder."""
    jobs: list[JobSummary] = field(default_factory=list)
    planned: int = 0
    """Number of jobs there are, to run or not; none only if a shard has none."""
    unused: dict[Path, str] = field(default_factory=dict)
    report: Path | None = None
    interrupted: bool = False
    problem: str = ""
    """Why the end of the run could not be written."""
    wall_s: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        return dict(Counter(str(job.status) for job in self.jobs))

    @property
    def exit_code(self) -> int:
        """Exit code of the command line."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        failed = sum(job.status is Status.FAILED for job in self.jobs)
        if not failed:
            return EXIT_SOME_FAILED if self.problem else EXIT_DONE
        return EXIT_ALL_FAILED if failed == len(self.jobs) else EXIT_SOME_FAILED


@dataclass(slots=True)
class DryRun:
    """What a run would do."""

    pipeline: str
    decisions: list[Decision]
    unused: dict[Path, str]
