"""``csstcore validate``: everything that is wrong with files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csstcore.cli.toml_files import TomlKind, kind_of
from csstcore.errors import EXIT_ALL_FAILED, EXIT_DONE, EXIT_SOME_FAILED, CsstError, Problems

if TYPE_CHECKING:
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugins.registry import Registry


@click.command("validate")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--definition", "name", metavar="NAME", help="Compare with this definition.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context, files: tuple[Path, ...], name: str | None, as_json: bool
) -> None:
    """Say everything that is wrong with FILES at once.

    Without --definition each file is compared with the definitions that recognise it; a TOML
    file that is itself a definition or a pipeline is checked as such. Exit code: 0 all good,
    4 some bad, 5 all bad.
    """
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugins.discovery import discover

    registry = discover()
    definitions = Definitions(registry)
    if name is not None:
        definitions.get(name)
    else:
        for problem in definitions.usable()[1]:
            click.echo(f"not used: {problem}", err=True)
    reports = [
        _declaration(registry, definitions, path, kind)
        if name is None and (kind := kind_of(path))
        else _report(definitions, path, name)
        for path in files
    ]
    if as_json:
        click.echo(json.dumps(reports, indent=2))
    else:
        for report in reports:
            _print(report)
    bad = sum(not report["good"] for report in reports)
    context.exit(
        EXIT_DONE if bad == 0 else EXIT_ALL_FAILED if bad == len(reports) else EXIT_SOME_FAILED
    )


def _declaration(
    registry: Registry, definitions: Definitions, path: Path, kind: TomlKind
) -> dict[str, Any]:
    """Return the verdict on a file that declares a pipeline or a definition."""
    from csstcore.definitions.load import load_definition
    from csstcore.definitions.products import product_type
    from csstcore.pipeline.check import build_plan

    problems: list[str] = []
    try:
        if kind == "pipeline":
            build_plan(registry, definitions, str(path))
        else:
            product_type(load_definition(path).definition.product)
    except Problems as error:
        problems = list(error.problems)
    except CsstError as error:
        problems = [str(error)]
    return {
        "file": str(path),
        "is": kind,
        "good": not problems,
        "problems": problems,
        "definitions": {},
    }


def _report(definitions: Definitions, path: Path, name: str | None) -> dict[str, Any]:
    """Return a file's verdict: good, the definitions it was compared with, and the problems."""
    from csstcore.definitions.recognise import candidates
    from csstcore.definitions.validate import validate_file

    if path.exists() and not path.is_file() and not path.is_dir():
        # To open a pipe would wait for ever.
        why = f"{path}: no regular file"
        return {"file": str(path), "good": False, "problems": [why], "definitions": {}}
    names, problems = candidates(definitions, path) if name is None else ([name], [])
    found = {item: validate_file(definitions.get(item), path) for item in names}
    good = not problems and not any(found.values())
    return {"file": str(path), "good": good, "problems": problems, "definitions": found}


def _print(report: dict[str, Any]) -> None:
    names = report.get("is") or ", ".join(report["definitions"])
    verdict = "good" if report["good"] else "bad"
    click.echo(f"{report['file']}: {verdict}" + (f" ({names})" if names else ""))
    for problem in report["problems"]:
        click.echo(f"  - {problem}")
    for name, problems in report["definitions"].items():
        label = f"{name}: " if len(report["definitions"]) > 1 else ""
        for problem in problems:
            click.echo(f"  - {label}{problem}")
