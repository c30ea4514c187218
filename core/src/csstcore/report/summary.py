"""What a report tells of a run, from the records of its jobs as plain dictionaries."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

Record = Mapping[str, Any]

FORMAT: Final = 1
"""Version of the records that reports are made from."""
STATUSES: Final = ("done", "done with caveats", "skipped", "blocked", "failed")
WORST_FIRST: Final = ("failed", "blocked", "skipped", "done with caveats", "done")


@dataclass(slots=True)
class Job:
    """A job and how much of it the report shows."""

    number: int
    record: Record
    checks_out: int
    pictured: bool = False
    detailed: bool = False
    kept: bool = False
    """Whether an earlier run did it."""

    @property
    def link(self) -> str:
        """Where its section is."""
        return f"../{self.record['run']}/report.html" if self.kept else f"#job{self.number}"


@dataclass(slots=True)
class Reason:
    """Jobs that ended the same way for the same reason."""

    status: str
    stage: str
    why: str
    jobs: list[Job] = field(default_factory=list)


@dataclass(slots=True)
class StageSummary:
    """One stage over all jobs."""

    id: str
    use: str
    counts: Counter[str] = field(default_factory=Counter)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def median_wall_s(self) -> float:
        """Median wall time of the calls that delivered."""
        return median(self.wall_s) if self.wall_s else 0.0

    @property
    def median_cpu_s(self) -> float:
        """Median CPU time of the calls that delivered."""
        return median(self.cpu_s) if self.cpu_s else 0.0


@dataclass(slots=True)
class CheckRow:
    """A check of a job, or of all elements of a series that pass it."""

    check: Mapping[str, Any]
    values: list[float | None]

    @property
    def ends(self) -> list[float | None]:
        """The value, or the smallest and the largest."""
        known = [value for value in self.values if value is not None]
        return [*sorted({min(known), max(known)})] if known else [None]


@dataclass(slots=True)
class Series:
    """A number over all jobs."""

    name: str
    numbers: list[int] = field(default_factory=list)
    """Job numbers."""
    values: list[float] = field(default_factory=list)
    ok: list[bool] = field(default_factory=list)
    minimum: float | None = None
    maximum: float | None = None

    @property
    def short_name(self) -> str:
        """Name of the check or metric alone."""
        return self.name.rpartition(": ")[2]


def read_records(run_folder: Path) -> tuple[list[Record], list[str]]:
    """Read the records of a run, and say which files are none.

    Parameters
    ----------
    run_folder
        ``DIR/runs/RUN``.
    """
    records: list[Record] = []
    damaged = []
    for path in sorted((run_folder / "jobs").glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            damaged.append(f"{path.name}: {error}")
            continue
        if isinstance(record, dict) and record.get("format") == FORMAT:
            records.append(record)
        else:
            damaged.append(f"{path.name}: not the record of a job in format {FORMAT}")
    return records, damaged


def read_kept(run_folder: Path, run: Record, first: int, most: int) -> list[Job]:
    """Read the jobs that a run kept from earlier ones, numbered from `first`.

    Those whose records are gone are left out; all are if there are more than `most`.
    """
    kept = run.get("kept", {})
    jobs: list[Job] = []
    for name in kept if len(kept) <= most else ():
        with suppress(OSError, ValueError):
            record = json.loads((run_folder.parents[1] / kept[name]).read_bytes())
            out = sum(not check["ok"] for check in record["checks"])
            jobs.append(Job(first + len(jobs), record, out, kept=True))
    return jobs


def read_run(run_folder: Path) -> Record:
    """Read what is known of the run as a whole; empty if nothing is."""
    try:
        content = json.loads((run_folder / "run.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def number_jobs(records: Iterable[Record], detailed: int, pictured: int) -> list[Job]:
    """Give jobs numbers by name, and say which are shown in full: those with problems first.

    Parameters
    ----------
    records
        Of all jobs.
    detailed, pictured
        How many jobs get a section, and how many of these their figures.
    """
    jobs = [
        Job(number, record, sum(not check["ok"] for check in record["checks"]))
        for number, record in enumerate(sorted(records, key=lambda record: record["job"]), 1)
    ]
    worst = sorted(
        jobs, key=lambda job: (WORST_FIRST.index(job.record["status"]), not job.checks_out)
    )
    for rank, job in enumerate(worst):
        job.detailed = rank < detailed
        job.pictured = rank < pictured
    return jobs


def count_statuses(jobs: Sequence[Job]) -> dict[str, int]:
    """Return how many jobs ended in each status, leaving out those of none."""
    counts = Counter(job.record["status"] for job in jobs)
    return {status: counts[status] for status in STATUSES if counts[status]}


def reasons(jobs: Iterable[Job]) -> list[Reason]:
    """Return why jobs delivered nothing, the most frequent reason first."""
    found: dict[tuple[str, str, str], Reason] = {}
    for job in jobs:
        record = job.record
        if record["status"] in ("done", "done with caveats"):
            continue
        key = record["status"], record["failed_stage"], record["why"]
        found.setdefault(key, Reason(*key)).jobs.append(job)
    return sorted(found.values(), key=lambda reason: -len(reason.jobs))


def stage_summaries(jobs: Iterable[Job]) -> list[StageSummary]:
    """Return every stage over all jobs, in the order of the pipeline."""
    found: dict[str, StageSummary] = {}
    for job in jobs:
        for stage in job.record["stages"]:
            summary = found.setdefault(stage["id"], StageSummary(stage["id"], stage["use"]))
            summary.counts[stage["status"]] += 1
            summary.peak_bytes = max(summary.peak_bytes, stage["peak_bytes"])
            if stage["status"] in ("done", "done with caveats"):
                summary.wall_s.append(stage["wall_s"])
                summary.cpu_s.append(stage["cpu_s"])
    return list(found.values())


def series(jobs: Iterable[Job]) -> list[Series]:
    """Return checks, then metrics, as numbers over the jobs; what never varies is left out."""
    checks: dict[str, Series] = {}
    metrics: dict[str, Series] = {}
    for job in jobs:
        for check in job.record["checks"]:
            if check["value"] is not None:
                name = f"{check['product']}: {check['id']}"
                one = checks.setdefault(name, Series(name))
                one.minimum, one.maximum = check["minimum"], check["maximum"]
                _append(one, job, check["value"], ok=check["ok"])
        for stage in job.record["stages"]:
            for metric, value in stage["metrics"].items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    name = f"{stage['id']}: {metric}"
                    _append(metrics.setdefault(name, Series(name)), job, value, ok=True)
    varying = [one for one in metrics.values() if len(set(one.values)) > 1]
    return [one for one in [*checks.values(), *varying] if len(set(one.numbers)) > 1]


def _append(one: Series, job: Job, value: float, *, ok: bool) -> None:
    one.numbers.append(job.number)
    one.values.append(float(value))
    one.ok.append(ok)


def checks_out(jobs: Iterable[Job]) -> list[tuple[Mapping[str, Any], list[Job]]]:
    """Return each check that any job missed, with those jobs, the most missed first."""
    found: dict[tuple[str, str], tuple[Mapping[str, Any], list[Job]]] = {}
    for job in jobs:
        for check in job.record["checks"]:
            if not check["ok"]:
                key = check["product"], check["id"]
                found.setdefault(key, (check, []))[1].append(job)
    return sorted(found.values(), key=lambda pair: -len(pair[1]))


def check_rows(record: Record) -> list[CheckRow]:
    """Return the checks of a job: one row for all elements that pass, one for each that fails."""
    rows: list[CheckRow] = []
    passed: dict[tuple[str, str], CheckRow] = {}
    for check in record["checks"]:
        key = check["product"], check["id"]
        if check["ok"] and key in passed:
            passed[key].values.append(check["value"])
            continue
        row = CheckRow(check, [check["value"]])
        rows.append(row)
        if check["ok"]:
            passed[key] = row
    return rows


def shared(jobs: Iterable[Job], name: str) -> dict[str, str]:
    """Return a mapping of the records (``versions``) with every value that occurs."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    for job in jobs:
        for key, value in job.record[name].items():
            values[key].add(str(value))
    return {key: ", ".join(sorted(found)) for key, found in sorted(values.items())}
