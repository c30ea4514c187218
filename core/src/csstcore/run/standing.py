"""How the jobs of an output folder stand: their last records, and what was never run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csstcore.errors import FileError
from csstcore.run.hashes import Stamp, stamp
from csstcore.run.index import Index, Row, peek_index
from csstcore.run.record import load_record
from csstcore.run.status import Status


@dataclass(slots=True)
class Standing:
    """The jobs of an output folder."""

    rows: list[Row]
    """The last record of every job."""
    not_run: dict[str, list[str]] = field(default_factory=dict)
    """By pipeline, the jobs that its last run was to run and did not."""


def standing(folder: Path) -> Standing:
    """Return how the jobs of an output folder stand.

    A file that could not be read has a record, as a job that failed. It is left out once the
    file is gone, was read as it is now, or was offered to the last run and taken by no input.
    """
    with peek_index(folder) as index:
        latest = index.latest()
        runs = _last_runs(folder)
        hashes = index.hashes()
        rows = [
            row
            for _, row in sorted(latest.items())
            if not _is_mended(folder, row, hashes, runs.get(row.pipeline, {}))
        ]
        return Standing(rows, _not_run(index, runs))


def read_run(path: Path) -> dict[str, Any]:
    """Return what ``run.json`` says of a run.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise FileError(f"{path}: not what a run writes")
    return content


def _last_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the last run of each pipeline; one without a readable ``run.json`` is left out."""
    runs = []
    for path in (folder / "runs").glob("*/run.json"):
        try:
            runs.append(read_run(path))
        except FileError:
            continue
    return {run["pipeline"]: run for run in sorted(runs, key=lambda run: str(run["started"]))}


def _not_run(index: Index, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    left = {}
    for pipeline, run in runs.items():
        ended = {row.job for row in index.of_run(run["run"])}
        left[pipeline] = [job for job in run["to_run"] if job not in ended]
    return {pipeline: jobs for pipeline, jobs in left.items() if jobs}


def _is_mended(
    folder: Path, row: Row, hashes: Mapping[Stamp, str], last_run: Mapping[str, Any]
) -> bool:
    """Return whether a record of an unreadable file no longer holds."""
    if row.status != Status.FAILED or not row.job.startswith("file_"):
        return False
    try:
        keys = load_record(folder / row.path).keys
        if set(keys) != {"file"}:
            return False
        path = str(keys["file"])
        return stamp(Path(path)) in hashes or path in last_run.get("unused", {})
    except FileError:  # The file is gone, or the record is.
        return True
