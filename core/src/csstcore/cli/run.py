"""``csstcore run``: a pipeline on files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csstcore.cli.settings import parse_settings
from csstcore.errors import EXIT_INTERRUPTED, ConfigurationError

if TYPE_CHECKING:
    from csstcore.run.request import DryRun, Request, Summary

_PATH = click.Path(path_type=Path)
FILES = click.argument("files", nargs=-1, required=True, type=_PATH)
OUTPUT = click.option(
    "-o", "--output", required=True, type=_PATH, help="Folder for products and records."
)
JOBS = click.option("-j", "--jobs", default=1, type=click.IntRange(1), help="Worker processes.")
SET = click.option(
    "--set", "settings", multiple=True, metavar="STAGE.PARAM=VALUE", help="TOML value."
)
REF = click.option(
    "--ref", "overrides", multiple=True, metavar="TYPE=PATH", help="Take this reference."
)


@click.command("run")
@click.argument("pipeline")
@FILES
@OUTPUT
@JOBS
@SET
@click.option("--refs", envvar="CSSTCORE_REFS", metavar="DIR", help="Reference store.")
@click.option("--context", metavar="NAME", help="Choose references by this context.")
@REF
@click.option("--shard", metavar="I/N", help="Only part I of N of the jobs.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of random streams.")
@click.option("--retry", is_flag=True, help="Try unprocessable data again.")
@click.option("--superseded", is_flag=True, help="Only jobs whose best references changed.")
@click.option("--dry-run", is_flag=True, help="Say which jobs would run, and why.")
@click.option("--figures/--no-figures", default=None, help="Pictures; default: if jobs are few.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def command(as_json: bool, dry_run: bool, **options: Any) -> None:
    """Run PIPELINE (a name or a .toml file) on FILES; folders are searched.

    Unchanged jobs of earlier runs in the same output folder are not run again. One run at a
    time uses a folder: shards that run at the same time need one each.

    With --superseded only those jobs of earlier runs are run whose best references are others
    now; new ones, and those whose inputs, parameters or code changed, are left alone.

    Exit code 0 if all jobs are done, 4 if some failed, 5 if all did, 130 if interrupted.
    """
    request = request_of(**options)
    from csstcore.plugins.discovery import discover

    if dry_run:
        from csstcore.run.runner import dry_run as decide

        _print_decisions(decide(request, discover()), as_json=as_json)
        return
    summary = run_request(request)
    print_summary(summary, request.output, as_json=as_json)
    click.get_current_context().exit(summary.exit_code)


def run_request(request: Request) -> Summary:
    """Run in worker processes, showing progress."""
    from csstcore.plugins.discovery import discover
    from csstcore.run.pool import ProcessPool
    from csstcore.run.progress import TerminalProgress
    from csstcore.run.runner import run

    with _stopping_once():
        return run(
            request,
            discover(),
            lambda folder: ProcessPool(request.jobs, folder / "workers.txt"),
            TerminalProgress(),
        )


def request_of(
    pipeline: str,
    files: tuple[Path, ...],
    output: Path,
    settings: tuple[str, ...],
    refs: str | None,
    overrides: tuple[str, ...],
    shard: str | None = None,
    **rest: Any,
) -> Request:
    """Return what the options of the command line ask for."""
    from csstcore.run.request import Request

    return Request(
        pipeline=pipeline,
        paths=files,
        output=output,
        settings=parse_settings(settings),
        references=refs,
        overrides={name: Path(path) for name, path in map(_override, overrides)},
        shard=_shard(shard) if shard else None,
        **rest,
    )


def _override(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise ConfigurationError(f"--ref {text!r}: expected TYPE=PATH")
    return name, path


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    if not slash or not (index.isdecimal() and count.isdecimal()):
        raise ConfigurationError(f"--shard {text!r}: expected I/N, for example 1/4")
    if not 1 <= int(index) <= int(count):
        raise ConfigurationError(f"--shard {text!r}: I must be from 1 to N")
    return int(index), int(count)


@contextmanager
def _stopping_once() -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a clean stop, and the second into an instant one."""
    stops = 0

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stops
        stops += 1
        if stops > 1:
            os._exit(EXIT_INTERRUPTED)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_decisions(plan: DryRun, *, as_json: bool) -> None:
    if as_json:
        jobs = [
            {
                "job": d.job.id,
                "keys": d.job.keys,
                "run": d.run,
                "why": d.why,
                "problem": d.job.problem,
            }
            for d in plan.decisions
        ]
        unused = {str(path): why for path, why in plan.unused.items()}
        content = {"pipeline": plan.pipeline, "jobs": jobs, "unused": unused}
        click.echo(json.dumps(content, indent=1, default=str))
        return
    from csstcore.cli.table import aligned

    rows = [
        (
            d.job.id,
            "run" if d.run else "skip",
            d.why,
            d.job.problem and f"will fail: {d.job.problem}",
        )
        for d in plan.decisions
    ]
    if rows:
        click.echo(aligned(rows))
    count = sum(decision.run for decision in plan.decisions)
    click.echo(f"{count} of {len(plan.decisions)} jobs would run")
    _print_unused(plan.unused)


def _print_unused(unused: dict[Path, str], most: int = 3) -> None:
    """Name the files that no input took; of many, the first."""
    if len(unused) <= most:
        for path, why in unused.items():
            click.echo(f"not used: {path}: {' '.join(why.split())}")
        return
    path, why = next(iter(unused.items()))
    why = " ".join(why.split())
    click.echo(f"not used: {len(unused)} files (--json lists all), e.g. {path}: {why}")


def print_summary(summary: Summary, output: Path, *, as_json: bool) -> None:
    """Print what came of a run."""
    kept = sum(job.kept for job in summary.jobs)
    if as_json:
        content = {
            "run": summary.run,
            "pipeline": summary.pipeline,
            "folder": str(summary.folder),
            "report": str(summary.report) if summary.report else None,
            "counts": summary.counts,
            "kept": kept,
            "interrupted": summary.interrupted,
            "wall_s": summary.wall_s,
            "jobs": [
                {"job": job.job, "status": job.status, "why": job.why, "kept": job.kept}
                for job in summary.jobs
            ],
            "unused": {str(path): why for path, why in summary.unused.items()},
        }
        click.echo(json.dumps(content, indent=1))
        return
    from csstcore.run.progress import duration

    _print_unused(summary.unused)
    if not summary.planned:
        click.echo("this shard has no job")
        return
    counts = ", ".join(f"{count} {status}" for status, count in summary.counts.items()) or "no jobs"
    unchanged = f" ({kept} unchanged, not run again)" if kept else ""
    state = "interrupted" if summary.interrupted else "ended"
    click.echo(f"{summary.pipeline} {state} after {duration(summary.wall_s)}: {counts}{unchanged}")
    click.echo(f"products: {output / 'products'}")
    if kept < len(summary.jobs):
        click.echo(f"records:  {summary.folder / 'jobs'}")
    if summary.report is not None:
        click.echo(f"report:   {summary.report}")
    if summary.problem:
        click.echo(f"error: {summary.problem}", err=True)
    if summary.exit_code:
        click.echo(f"details:  csstcore status {summary.folder}")
