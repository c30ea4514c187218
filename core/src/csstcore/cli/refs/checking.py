"""``csstcore refs check`` and ``uses``: a whole store, and who used one of its files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from csstcore.cli.refs.options import JSON, STORE
from csstcore.cli.table import aligned
from csstcore.errors import EXIT_USAGE, ConfigurationError


@click.command("check")
@STORE
def check(folder: str | None) -> None:
    """Check the whole store: rules, files, checksums, definitions and contexts.

    Exit code 2 if anything is wrong.
    """
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugins.discovery import discover
    from csstcore.references.audit import store_problems
    from csstcore.references.library import is_remote
    from csstcore.references.store import ReferenceStore

    if folder is None or is_remote(folder) or not Path(folder).is_dir():
        raise ConfigurationError(f"reference store {folder}: expected a folder (--refs DIR)")
    registry = discover()
    store = ReferenceStore(folder, registry)
    problems = store_problems(store, Path(folder), Definitions(registry))
    for problem in problems:
        click.echo(problem)
    if problems:
        click.echo(f"{len(problems)} problems")
        click.get_current_context().exit(EXIT_USAGE)
    click.echo(f"all is well with {len(store.list())} rules; context {store.context}")


@click.command("uses")
@click.argument("reference", metavar="FILE")
@click.argument(
    "output", metavar="[DIR]", default=".", type=click.Path(path_type=Path, exists=True)
)
@JSON
def uses(reference: str, output: Path, as_json: bool) -> None:
    """Show which products in the output folder DIR were made with the reference FILE.

    FILE is a path, or the name of a reference as headers give it.
    """
    from csstcore.references.digest import file_sha256
    from csstcore.run.index import peek_index
    from csstcore.run.record import load_record

    folder = output.absolute()
    if not (folder / "runs").is_dir():
        raise ConfigurationError(f"{output}: no output folder of csstcore run")
    path = Path(reference)
    with peek_index(folder) as index:
        rows = index.users(path.name, file_sha256(path) if path.is_file() else None)
    found = [(row, load_record(folder / row.path).outputs) for row in rows]
    if as_json:
        jobs = [asdict(row) | {"products": [f.path for f in files]} for row, files in found]
        click.echo(json.dumps(jobs, indent=2))
    elif found:
        click.echo(
            aligned((row.pipeline, row.job, file.path) for row, files in found for file in files)
        )
    else:
        click.echo(f"no product was made with {path.name}")
