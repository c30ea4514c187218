"""``csstcore status``: how the jobs of a run, or of an output folder, ended."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csstcore.errors import FileError

if TYPE_CHECKING:
    from csstcore.run.index import Row

_FAILED = "failed"


@click.command("status")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("--failed", "only_failed", is_flag=True, help="Only jobs that failed.")
def command(folder: Path, as_json: bool, only_failed: bool) -> None:
    """Show how jobs ended.

    FOLDER is the output folder (the last record of every job) or one run of it
    (DIR/runs/RUN).
    """
    rows, run, not_run = _rows(folder.absolute())
    counts = dict(Counter(row.status for row in rows))
    shown = [row for row in rows if not only_failed or row.status == _FAILED]
    if as_json:
        jobs = [asdict(row) for row in shown]
        content = {"run": run, "counts": counts, "jobs": jobs, "not_run": not_run}
        click.echo(json.dumps(content, indent=1))
        return
    _print(folder, rows, shown, run, not_run)


def _rows(folder: Path) -> tuple[list[Row], dict[str, Any], dict[str, list[str]]]:
    """Return the records at a glance, what ``run.json`` says of one run, and what was not run."""
    from csstcore.run.index import peek_index
    from csstcore.run.standing import read_run, standing

    if (folder / "runs").is_dir():
        found = standing(folder)
        return found.rows, {}, found.not_run
    if (folder / "run.json").is_file() and folder.parent.name == "runs":
        run = read_run(folder / "run.json")
        with peek_index(folder.parent.parent) as index:
            rows = index.of_run(folder.name)
        ended = {row.job for row in rows}
        left = [job for job in run["to_run"] if job not in ended]
        return rows, run, {run["pipeline"]: left} if left else {}
    raise FileError(f"{folder}: neither an output folder (with runs/) nor a run (with run.json)")


def _print(
    folder: Path,
    rows: list[Row],
    shown: list[Row],
    run: dict[str, Any],
    not_run: dict[str, list[str]],
) -> None:
    from csstcore.cli.table import aligned
    from csstcore.run.progress import duration

    if run:
        click.echo(f"run {run['run']} of {run['pipeline']}: {_state(folder, run)}")
    table = [("pipeline", "job", "status", "time", "memory", "stage", "why")]
    for row in shown:
        memory = f"{row.peak_bytes / 1e6:.0f} MB" if row.peak_bytes else "-"
        stage = row.failed_stage or "-"
        why = row.why.removeprefix(f"stage {row.failed_stage}: ")
        table.append(
            (row.pipeline, row.job, row.status, duration(row.wall_s), memory, stage, why or "-")
        )
    if shown:
        click.echo(aligned(table))
    counts = Counter(row.status for row in rows)
    listed = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no records"
    waiting = sum(map(len, not_run.values()))
    click.echo(listed + (f", {waiting} not run" if waiting > 0 else ""))
    if counts[_FAILED] or waiting > 0:
        click.echo(
            "to redo what failed or was not run: the same csstcore run command again; "
            "add --retry for data that could not be processed"
        )


def _state(folder: Path, run: dict[str, Any]) -> str:
    """Return the state of a run; one that is neither ended nor at work was killed."""
    from csstcore.run.lock import is_locked

    state = str(run["state"])
    if state == "running" and not is_locked(folder.absolute().parent.parent):
        return "killed"
    return state
