"""The directive ``command-line``: every command and option of csstcore, from click itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from csstcore.cli.main import cli

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below a group with the words that call it, in order."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101 - the group listed it
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def parameters(command: click.Command, path: str) -> list[tuple[str, str]]:
    """Return spelling and meaning of every option of a command."""
    context = click.Context(command, info_name=path)
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    return [record for record in records if record is not None]


def usage(command: click.Command, path: str) -> str:
    """Return the usage line of a command."""
    context = click.Context(command, info_name=path)
    return " ".join([path, *command.collect_usage_pieces(context)])


class CommandLine(Directive):
    """One section per command."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [_section(path, command) for path, command in commands(cli, "csstcore")]


def _section(path: str, command: click.Command) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(path)], names=[path])
    section += nodes.title("", "", nodes.literal(text=path))
    section += nodes.literal_block(text=usage(command, path), language="text")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        section += nodes.paragraph(text=" ".join(paragraph.split()))
    section += _table(parameters(command, path))
    return section


def _table(rows: list[tuple[str, str]]) -> nodes.table:
    group = nodes.tgroup(cols=2)
    group += [nodes.colspec(colwidth=35), nodes.colspec(colwidth=65)]
    body = nodes.tbody()
    for spelling, meaning in rows:
        row = nodes.row()
        row += nodes.entry("", nodes.paragraph("", "", nodes.literal(text=spelling)))
        row += nodes.entry("", nodes.paragraph(text=meaning))
        body += row
    group += body
    return nodes.table("", group, classes=["table"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
