"""``csstcore refs best``, ``explain`` and ``list``: which rules are in force, and which wins."""

from __future__ import annotations

import json
from pathlib import Path

import click

from csstcore.cli.refs.options import CONTEXT, DEFINITION, FILE, JSON, STORE, observed
from csstcore.cli.refs.rules import conditions, plain
from csstcore.cli.table import aligned


@click.command("best")
@click.argument("reference_type", metavar="TYPE")
@FILE
@DEFINITION
@STORE
@CONTEXT
@JSON
def best(
    reference_type: str,
    file: Path,
    name: str | None,
    folder: str | None,
    context: str | None,
    as_json: bool,
) -> None:
    """Show the reference of TYPE that is best for the observation in FILE."""
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugins.discovery import discover
    from csstcore.references.store import ReferenceStore

    registry = discover()
    store = ReferenceStore(folder, registry, context=context)
    choice = store.choose(reference_type, observed(Definitions(registry), file, name))
    found = [
        {
            "type": each.type,
            "path": str(each.path),
            "sha256": each.sha256,
            "source": each.source,
            "rules": str(each.rules),
            "rule": each.rule,
            "context": store.context,
        }
        for each in choice.files
    ]
    if as_json:
        click.echo(json.dumps(found if choice.parts else found[0], indent=2))
        return
    for table in found:
        click.echo(aligned([(key, str(value)) for key, value in table.items()]))


@click.command("explain")
@click.argument("reference_type", metavar="TYPE")
@FILE
@DEFINITION
@STORE
@CONTEXT
def explain(
    reference_type: str, file: Path, name: str | None, folder: str | None, context: str | None
) -> None:
    """Show, for every rule of TYPE, whether it matches the observation in FILE, or why not.

    Rules come in the order of precedence; the one that is chosen is marked.
    """
    from csstcore.definitions.catalog import Definitions
    from csstcore.errors import ReferenceFileError
    from csstcore.plugins.discovery import discover
    from csstcore.references.choose import failures
    from csstcore.references.observation import Observation
    from csstcore.references.store import ReferenceStore

    registry = discover()
    store = ReferenceStore(folder, registry, context=context)
    observation = Observation(observed(Definitions(registry), file, name))
    won, problem = set(), ""
    try:
        chosen = store.choose(reference_type, observation)
        won = {(each.rules, each.rule, each.source) for each in chosen.files}
    except ReferenceFileError as error:
        problem = str(error)
    rows = []
    for tier in store.tiers(reference_type):
        views = tier.views(observation) or [observation]
        for entry in reversed(tier.entries):
            why = min((failures(entry, view) for view in views), key=len)
            mark = "chosen" if (entry.rules, entry.number, entry.source) in won else "matches"
            text = "; ".join(why) or conditions(entry)
            rows.append((str(entry), entry.source, "no" if why else mark, text))
    click.echo(aligned(rows) if rows else "there are no rules")
    if problem:
        click.echo(problem)


@click.command("list")
@click.argument("reference_type", metavar="[TYPE]", required=False)
@STORE
@CONTEXT
@JSON
def list_references(
    reference_type: str | None, folder: str | None, context: str | None, as_json: bool
) -> None:
    """List the rules in force, of one TYPE or of all."""
    from csstcore.plugins.discovery import discover
    from csstcore.references.store import ReferenceStore

    entries = ReferenceStore(folder, discover(), context=context).list(reference_type)
    if as_json:
        click.echo(json.dumps([plain(entry) for entry in entries], indent=2, default=str))
    elif entries:
        click.echo(
            aligned(
                (entry.type, entry.source, str(entry.number), entry.rule.file, conditions(entry))
                for entry in entries
            )
        )
    else:
        click.echo("there are no rules")
