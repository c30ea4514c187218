"""``csstcore refs``: choose, add and list calibration references."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from csstcore.cli.table import aligned
from csstcore.errors import ConfigurationError, FileError, Problems

if TYPE_CHECKING:
    from csstcore.definitions.catalog import Definitions
    from csstcore.products.meta import Meta
    from csstcore.references.choose import Entry

MATCHED: Final = ("instrument", "detector", "readout", "filter")
"""Fields of Meta that a new rule matches by default."""

_STORE: Final = click.option(
    "--refs",
    "folder",
    envvar="CSSTCORE_REFS",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The reference store; default: the environment variable CSSTCORE_REFS.",
)
_FILE: Final = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@click.group("refs")
def command() -> None:
    """Choose, add and list calibration references."""


@command.command("best")
@click.argument("reference_type", metavar="TYPE")
@_FILE
@click.option("--definition", "name", metavar="NAME", help="What FILE is; default: recognised.")
@_STORE
@_JSON
def best(
    reference_type: str, file: Path, name: str | None, folder: Path | None, as_json: bool
) -> None:
    """Show the reference of TYPE that is best for the observation in FILE."""
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugins.discovery import discover
    from csstcore.references.store import ReferenceStore

    registry = discover()
    store = ReferenceStore(folder, registry)
    choice = store.choose(reference_type, _meta(Definitions(registry), file, name))
    found = {
        "type": choice.type,
        "path": str(choice.path),
        "sha256": choice.sha256,
        "source": choice.source,
        "rules": str(choice.rules),
        "rule": choice.rule,
        "context": store.context,
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(aligned([(key, str(value)) for key, value in found.items()]))


@command.command("add")
@click.argument("reference_type", metavar="TYPE")
@_FILE
@click.option(
    "--match",
    "assignments",
    multiple=True,
    metavar="FIELD=VALUE",
    help="What observations must have (TOML value or bare string); may be repeated. "
    "FIELD= leaves a default out.",
)
@click.option("--useafter", "start", metavar="ISO", help="Start of validity (UTC), or 'always'.")
@_STORE
def add(
    reference_type: str,
    file: Path,
    assignments: tuple[str, ...],
    start: str | None,
    folder: Path | None,
) -> None:
    """Check FILE as a reference of TYPE, and add it with a rule to the store.

    A FITS file gives what the rule matches (instrument, detector, readout, filter) and its
    start of validity, as far as its definition has them; --match and --useafter win.
    """
    from csstcore.definitions.catalog import Definitions
    from csstcore.plugin import ReferenceType
    from csstcore.plugins.discovery import discover
    from csstcore.products.meta import Meta, plain_value
    from csstcore.references.kinds import reference_problems
    from csstcore.references.store import ReferenceStore

    registry = discover()
    definitions = Definitions(registry)
    store = ReferenceStore(folder, registry)
    declaration = registry.get(ReferenceType, reference_type).declaration
    given = _assignments(assignments)
    useafter = None if start is None else _useafter(start)
    problems = reference_problems(file, reference_type, declaration, definitions)
    if problems:
        raise Problems(f"{file} is no reference of type {reference_type}", problems)
    meta = Meta()
    if declaration.kind == "fits":
        meta = _meta(definitions, file, declaration.definition)
    match = {field: plain_value(meta, field) for field in MATCHED} | given
    if start is None and meta.time is not None:
        useafter = meta.time.utc.to_datetime(timezone=UTC)
    wanted = {field: value for field, value in match.items() if value not in (None, "")}
    entry = store.add(reference_type, file, wanted, useafter)
    click.echo(f"{entry}\n  {_conditions(entry)}")


@command.command("list")
@click.argument("reference_type", metavar="[TYPE]", required=False)
@_STORE
@_JSON
def list_references(reference_type: str | None, folder: Path | None, as_json: bool) -> None:
    """List the rules in force, of one TYPE or of all."""
    from csstcore.plugins.discovery import discover
    from csstcore.references.store import ReferenceStore

    entries = ReferenceStore(folder, discover()).list(reference_type)
    if as_json:
        click.echo(json.dumps([_plain(entry) for entry in entries], indent=2, default=str))
    elif entries:
        click.echo(
            aligned(
                (entry.type, entry.source, str(entry.number), entry.rule.file, _conditions(entry))
                for entry in entries
            )
        )
    else:
        click.echo("there are no rules")


def _meta(definitions: Definitions, file: Path, name: str | None) -> Meta:
    """Return the core fields of a file, by the one definition that recognises it."""
    from csstcore.definitions.header import read_header
    from csstcore.definitions.meta import read_meta
    from csstcore.definitions.recognise import candidates

    if name is None:
        names, problems = candidates(definitions, file)
        if not names:
            raise FileError(f"{file}: {'; '.join(problems)}")
        if len(names) > 1:
            raise ConfigurationError(
                f"{file} fits {' and '.join(names)}; say which with --definition NAME"
            )
        name = names[0]
    definition = definitions.get(name)
    return read_meta(definition, read_header(definition, file))


def _assignments(items: Iterable[str]) -> dict[str, Any]:
    """Read ``FIELD=VALUE`` items; the value is TOML, or else a bare string."""
    values: dict[str, Any] = {}
    for item in items:
        field, equals, text = (part.strip() for part in item.partition("="))
        if not (field and equals):
            raise ConfigurationError(f"--match {item!r}: expected FIELD=VALUE")
        try:
            values[field] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[field] = text
    return values


def _useafter(text: str) -> datetime | None:
    if text == "always":
        return None
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--useafter {text!r}: expected a time such as 2027-01-01T00:00:00, or 'always'"
        ) from None
    return start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)


def _conditions(entry: Entry) -> str:
    """Return what a rule matches, as one line."""
    plain = _plain(entry)
    parts = [
        f"{field} = {json.dumps(value, default=str)}" for field, value in plain["match"].items()
    ]
    if plain["useafter"]:
        parts.append(f"useafter {plain['useafter']}")
    return ", ".join(parts) or "any observation"


def _plain(entry: Entry) -> dict[str, Any]:
    from csstcore.references.rules import toml_value

    start = entry.rule.useafter
    return {
        "type": entry.type,
        "source": entry.source,
        "rules": str(entry.rules),
        "rule": entry.number,
        "file": entry.rule.file,
        "path": str(entry.path),
        "sha256": entry.rule.sha256,
        "match": {field: toml_value(value) for field, value in entry.rule.match.items()},
        "useafter": None if start is None else start.isoformat(),
    }
