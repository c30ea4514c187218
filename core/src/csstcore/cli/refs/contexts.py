"""``csstcore refs freeze`` and ``diff``: contexts, and what changes between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csstcore.cli.refs.options import JSON, STORE, observed
from csstcore.cli.refs.rules import conditions, plain
from csstcore.cli.table import aligned

if TYPE_CHECKING:
    from csstcore.plugins.registry import Registry
    from csstcore.references.store import ReferenceStore
    from csstcore.run.affected import Change


@click.command("freeze")
@click.argument("name")
@STORE
def freeze(name: str, folder: str | None) -> None:
    """Keep the rules in force as the context NAME, which never changes.

    Small references that plugins ship are copied into the store.
    """
    from csstcore.plugins.discovery import discover
    from csstcore.references.store import ReferenceStore

    registry = discover()
    path = ReferenceStore(folder, registry).freeze(name)
    context = ReferenceStore(folder, registry, context=name)
    click.echo(f"{context.context}: {len(context.in_force())} rules in {path}")


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
@STORE
@JSON
def diff(old: str, new: str, files: tuple[Path, ...], folder: str | None, as_json: bool) -> None:
    """Show which rules differ between the contexts OLD and NEW.

    With FILES, also which of these observations would get other references. An output folder
    of `csstcore run` stands for the observations of all its jobs. The name `current` is for the
    rules in force now.
    """
    from csstcore.plugins.discovery import discover
    from csstcore.references.audit import differing_rules
    from csstcore.references.context import CURRENT
    from csstcore.references.store import ReferenceStore

    registry = discover()
    before, after = (
        ReferenceStore(folder, registry, context=None if name == CURRENT else name)
        for name in (old, new)
    )
    gone, come = differing_rules(before.in_force(), after.in_force())
    changes = list(_changes(files, registry, before, after))
    if as_json:
        rows = [{"subject": c.subject, "type": c.type, "old": c.old, "new": c.new} for c in changes]
        rules = {"gone": [plain(e) for e in gone], "new": [plain(e) for e in come]}
        click.echo(json.dumps({"rules": rules, "observations": rows}, indent=2, default=str))
        return
    marked = [("-", e) for e in gone] + [("+", e) for e in come]
    if marked:
        click.echo(aligned((mark, e.type, e.rule.file, conditions(e)) for mark, e in marked))
    else:
        click.echo("the rules are the same")
    if changes:
        click.echo(aligned((c.subject, c.type, c.old, "->", c.new) for c in changes))
    elif files:
        click.echo("no observation would get another reference")


def _changes(
    files: tuple[Path, ...], registry: Registry, old: ReferenceStore, new: ReferenceStore
) -> Iterator[Change]:
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugin import ReferenceType
    from csstcore.run.affected import changes_of_file, changes_of_jobs

    definitions = Definitions(registry)
    types = list(registry.declared(ReferenceType))
    for path in files:
        if (path / "runs").is_dir():
            yield from changes_of_jobs(path.absolute(), definitions, old, new)
            continue
        for file in sorted(path.rglob("*.fits")) if path.is_dir() else [path]:
            yield from changes_of_file(str(file), observed(definitions, file), types, old, new)
