"""``csstcore refs add`` and ``make``: files into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from csstcore.cli.refs.options import FILE, MATCH, STORE, USEAFTER, match_of, start_of
from csstcore.cli.refs.rules import conditions
from csstcore.cli.run import FILES, JOBS, OUTPUT, REF, SET, print_summary, request_of, run_request
from csstcore.errors import EXIT_SOME_FAILED, ConfigurationError, CsstError


@click.command("add")
@click.argument("reference_type", metavar="TYPE")
@FILE
@MATCH
@USEAFTER
@STORE
def add(
    reference_type: str,
    file: Path,
    assignments: tuple[str, ...],
    start: str | None,
    folder: str | None,
) -> None:
    """Check FILE as a reference of TYPE, and add it with a rule to the store.

    A FITS file gives what the rule matches (instrument, detector, readout, filter) and its
    start of validity, as far as its definition has them; --match and --useafter win. A network
    must keep the contract of the rules before it; the first one makes the contract.
    """
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugins.discovery import discover
    from csstcore.references.adding import add_checked
    from csstcore.references.store import ReferenceStore

    registry = discover()
    store, definitions = ReferenceStore(folder, registry), Definitions(registry)
    match, useafter = match_of(assignments), start_of(start)
    entry = add_checked(store, definitions, reference_type, file, match, useafter)
    click.echo(f"{entry}\n  {conditions(entry)}")


@click.command("make")
@click.argument("pipeline")
@FILES
@OUTPUT
@JOBS
@SET
@REF
@MATCH
@USEAFTER
@STORE
def make(
    assignments: tuple[str, ...], start: str | None, folder: str | None, **options: Any
) -> None:
    """Run PIPELINE on FILES, and add the references that it makes to the store.

    An output is a reference if its definition is that of a declared reference type. What it is
    good for comes from its header, as in `csstcore refs add`. One that fails a check of its
    definition is not added.
    """
    from csstcore.definitions.catalog import Definitions
    from csstcore.pipeline.check import build_plan
    from csstcore.plugins.discovery import discover
    from csstcore.references.adding import add_checked
    from csstcore.references.store import ReferenceStore
    from csstcore.run.references import made, reference_outputs

    if folder is None:
        raise ConfigurationError("no reference store was given (--refs DIR, or CSSTCORE_REFS)")
    match, useafter = match_of(assignments), start_of(start)
    registry = discover()
    definitions = Definitions(registry)
    ReferenceStore(folder, registry).make_folder()
    request = request_of(refs=folder, **options)
    plan = build_plan(registry, definitions, request.pipeline, request.settings)
    types = reference_outputs(plan, registry)
    summary = run_request(request)
    print_summary(summary, request.output, as_json=False)
    code = summary.exit_code
    store = ReferenceStore(folder, registry)
    for each in made(summary, request.output.absolute(), types):
        try:
            if each.why_not:
                raise ConfigurationError(f"{each.path} was not added: {each.why_not}")
            entry = add_checked(store, definitions, each.type, each.path, match, useafter)
            click.echo(f"{each.type}: {entry}\n  {conditions(entry)}")
        except CsstError as error:
            click.echo(f"error: {error}", err=True)
            code = code or EXIT_SOME_FAILED
    click.get_current_context().exit(code)
