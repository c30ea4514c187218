"""``csstcore describe``: a pipeline as a graph, or a definition as a table."""

from __future__ import annotations

from pathlib import Path

import click

from csstcore.cli.settings import parse_settings


@click.command()
@click.argument("name")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="STAGE.PARAMETER=VALUE",
    help="Show the pipeline with this parameter (TOML value); may be repeated.",
)
def command(name: str, assignments: tuple[str, ...]) -> None:
    """Describe the pipeline or definition NAME.

    A pipeline (full name, alias, or path of a TOML file) is checked against everything
    installed and shown as a graph, every value with its origin. A definition (full name, or
    path of a TOML file) is shown as a table of its file name, keywords and columns.
    """
    from csstcore.cli.toml_files import kind_of
    from csstcore.definitions.catalog import Definitions
    from csstcore.definitions.describe import describe_definition
    from csstcore.definitions.load import load_definition
    from csstcore.pipeline.check import build_plan
    from csstcore.pipeline.describe import describe_plan
    from csstcore.plugin import Definition
    from csstcore.plugins.discovery import discover

    registry = discover()
    definitions = Definitions(registry)
    if name in registry.declared(Definition):
        click.echo(describe_definition(definitions.get(name)))
        return
    if kind_of(Path(name)) == "definition":
        click.echo(describe_definition(load_definition(Path(name))))
        return
    plan = build_plan(registry, definitions, name, parse_settings(assignments))
    click.echo(describe_plan(plan))
