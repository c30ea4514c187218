"""`write_report`: one self-contained HTML page that tells how a run went."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from csstcore import __version__
from csstcore.definitions.write import write_whole
from csstcore.errors import FileError
from csstcore.report import summary, text
from csstcore.report.layout import LayoutModel
from csstcore.report.maps import Picture, draw_layout
from csstcore.report.summary import Job, Record, Series
from csstcore.report.trends import plot_trends

DETAILED_JOBS: Final = 300
"""Above this, only so many jobs, those with problems first, get a section of their own."""
PICTURED_JOBS: Final = 12
"""How many jobs show their figures; their sections are open at first."""
TRENDS: Final = 36


def write_report(run_folder: Path) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run_folder
        ``DIR/runs/RUN``, with the records of its jobs in ``jobs/`` and what is known of the
        run as a whole in ``run.json``. Reports of runs that are still going, or were killed,
        tell what is there.

    Returns
    -------
    Path
        ``run_folder/report.html``, replaced as a whole. Nothing in it needs the network.

    Raises
    ------
    FileError
        If the folder holds no record.
    """
    records, damaged = summary.read_records(run_folder)
    if not records and not damaged:
        raise FileError(f"{run_folder}: no job records in {run_folder / 'jobs'}")
    jobs = summary.number_jobs(records, DETAILED_JOBS, PICTURED_JOBS)
    page = _render(run_folder, jobs, damaged)
    path = run_folder / "report.html"

    def write(stream: IO[bytes]) -> None:
        stream.write(page.encode(errors="replace"))

    write_whole(path, write)
    return path


def _render(run_folder: Path, jobs: Sequence[Job], damaged: Sequence[str]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("csstcore.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (text.number, text.seconds, text.size, text.limits, text.keys)
    environment.filters.update({function.__name__: function for function in filters})
    run = summary.read_run(run_folder)
    recorded = {job.record["job"] for job in jobs}
    series = summary.series(jobs)
    return environment.get_template("report.html").render(
        run=run_folder.name,
        version=__version__,
        head=_head(run, jobs),
        missing=[job for job in run.get("to_run", ()) if job not in recorded],
        unused=run.get("unused", {}),
        settings=_settings(run),
        counts=summary.count_statuses(jobs),
        jobs=jobs,
        detailed=[job for job in jobs if job.detailed],
        check_rows=summary.check_rows,
        figures={job.number: _figures(run_folder, job) for job in jobs if job.pictured},
        reasons=summary.reasons(jobs),
        checks_out=summary.checks_out(jobs),
        stages=summary.stage_summaries(jobs),
        layouts=_layouts(run, [*jobs, *_kept(run_folder, run, jobs)]),
        trends=_trends(series, len(jobs)),
        more_trends=max(0, len(series) - TRENDS),
        versions=summary.shared(jobs, "versions"),
        damaged=damaged,
    )


def _head(run: Record, jobs: Sequence[Job]) -> Mapping[str, str]:
    """Return the facts at the top of the page; those that are not known are left out."""
    records = [job.record for job in jobs]
    started = [record["started"] for record in records if record["started"]]
    ended = [record["ended"] for record in records if record["ended"]]
    kept = len(run.get("kept", ()))
    facts = {
        "Pipeline": ", ".join(sorted({record["pipeline"] for record in records}))
        or run.get("pipeline", "unknown"),
        "Context of references": run.get("context", ""),
        "Started": text.moment(run.get("started") or min(started, default="")),
        "Ended": text.moment(run.get("ended") or max(ended, default="")),
        "CPU time": text.seconds(sum(record["cpu_s"] for record in records)),
        "Largest job": text.size(max((record["peak_bytes"] for record in records), default=0)),
        "Kept from earlier runs": f"{kept} job{'s' if kept != 1 else ''}" if kept else "",
    }
    return {name: fact for name, fact in facts.items() if fact}


def _settings(run: Record) -> Mapping[str, str]:
    """Return what was asked for on the command line."""
    asked = {
        **run.get("settings", {}),
        **run.get("overrides", {}),
        "references": run.get("references"),
        "seed": run.get("seed"),
        "shard": run.get("shard"),
    }
    return {name: str(value) for name, value in asked.items() if value not in (None, "")}


def _kept(run_folder: Path, run: Record, jobs: Sequence[Job]) -> list[Job]:
    return summary.read_kept(run_folder, run, len(jobs) + 1, DETAILED_JOBS)


def _layouts(run: Record, jobs: Sequence[Job]) -> list[Picture]:
    """Return the pictures of the layouts in which a run of several jobs has places."""
    if len(jobs) < 2:
        return []
    series = summary.series(jobs)
    models = [LayoutModel.model_validate(layout) for layout in run.get("layouts", ())]
    drawn = [draw_layout(model, jobs, series) for model in models]
    return [layout for layout in drawn if layout is not None]


def _trends(series: Sequence[Series], jobs: int) -> list[tuple[Series, str]]:
    """Return the first plots; what misses its limits comes first."""
    ordered = sorted(series, key=lambda one: all(one.ok))[:TRENDS]
    pictures = plot_trends(ordered, jobs)
    return [(one, _embedded(png)) for one, png in zip(ordered, pictures, strict=True)]


def _figures(run_folder: Path, job: Job) -> list[tuple[Mapping[str, Any], str]]:
    """Return the figures of a job that are PNG files inside the run folder."""
    shown = []
    for figure in job.record["figures"]:
        path = (run_folder / figure["path"]).resolve()
        if path.is_relative_to(run_folder.resolve()) and path.is_file():
            shown.append((figure, _embedded(path.read_bytes())))
    return shown


def _embedded(png: bytes) -> str:
    """Return a picture as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
