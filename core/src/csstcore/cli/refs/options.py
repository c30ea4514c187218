"""Options and arguments that the commands of ``csstcore refs`` share."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from csstcore.errors import ConfigurationError, FileError

if TYPE_CHECKING:
    from csstcore.definitions.catalog import Definitions
    from csstcore.products.meta import Meta

STORE: Final = click.option(
    "--refs",
    "folder",
    envvar="CSSTCORE_REFS",
    metavar="DIR",
    help="The reference store; default: the environment variable CSSTCORE_REFS.",
)
CONTEXT: Final = click.option(
    "--context", metavar="NAME", help="Choose by the rules of this context, not the current ones."
)
MATCH: Final = click.option(
    "--match",
    "assignments",
    multiple=True,
    metavar="FIELD=VALUE",
    help="What observations must have (TOML value or bare string); may be repeated. "
    "FIELD= leaves a default out.",
)
USEAFTER: Final = click.option(
    "--useafter", "start", metavar="ISO", help="Start of validity (UTC), or 'always'."
)
FILE: Final = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
DEFINITION: Final = click.option(
    "--definition", "name", metavar="NAME", help="What FILE is; default: recognised."
)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def observed(definitions: Definitions, file: Path, name: str | None = None) -> Meta:
    """Return the core fields of a file, by the one definition that recognises it."""
    from csstcore.definitions.recognise import candidates
    from csstcore.references.adding import meta_of

    if name is None:
        names, problems = candidates(definitions, file)
        if not names:
            raise FileError(f"{file}: {'; '.join(problems)}")
        if len(names) > 1:
            raise ConfigurationError(
                f"{file} fits {' and '.join(names)}; say which with --definition NAME"
            )
        name = names[0]
    return meta_of(definitions, file, name)


def match_of(items: Iterable[str]) -> dict[str, Any]:
    """Read ``FIELD=VALUE`` items; the value is TOML, or else a bare string."""
    values: dict[str, Any] = {}
    for item in items:
        field, equals, text = (part.strip() for part in item.partition("="))
        if not (field and equals):
            raise ConfigurationError(f"--match {item!r}: expected FIELD=VALUE")
        try:
            values[field] = tomllib.loads(f"value = {text}")["value"]
        except RecursionError:
            raise ConfigurationError(f"--match {field}: nested too deeply") from None
        except ValueError:  # no TOML, or a number of too many digits
            values[field] = text
    return values


def start_of(text: str | None) -> datetime | Literal["always"] | None:
    """Read ``--useafter``; None if it was not given."""
    if text is None or text == "always":
        return text  # type: ignore[return-value]
    try:
        start = datetime.fromisoformat(text)
        return start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"--useafter {text!r}: expected a time such as 2027-01-01T00:00:00, or 'always'"
        ) from None
