"""``csstcore new``: start a plugin package."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Final

import click

from csstcore.errors import ConfigurationError

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
"""Files end in ``.tmpl``; ``NAME`` in a path and ``$name`` in a text become the name."""


@click.group("new")
def command() -> None:
    """Start something new from a template."""


@command.command("plugin")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the package's folder is made.",
)
def plugin(name: str, folder: Path) -> None:
    """Write a plugin package called NAME that passes its own tests at once.

    NAME is the namespace: everything the plugin declares will be called NAME.something.
    """
    if not (name.isidentifier() and name.isascii() and name.islower()) or keyword.iskeyword(name):
        raise ConfigurationError(
            f"the name {name!r} cannot be a namespace; expected lower-case letters, digits and _"
        )
    target = folder / name
    if target.exists():
        raise ConfigurationError(f"{target} exists; choose another name or --folder")
    try:
        for path, text in _files("plugin", name):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {target}; next: pip install -e {target} && cd {target} && pytest")


def _files(template: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield relative path and text of every file of a template, filled in."""
    root = TEMPLATES / template
    words = {"name": name, "distribution": f"csst-{name.replace('_', '-')}"}
    for path in sorted(root.rglob("*.tmpl")):
        relative = path.relative_to(root).as_posix().removesuffix(".tmpl").replace("NAME", name)
        yield relative, Template(path.read_text(encoding="utf-8")).substitute(words)
