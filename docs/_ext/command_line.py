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


def commands() -> dict[str, click.Context]:
    """Return every command by the words that call it, in order."""
    return dict(_below(cli.make_context("csstcore", ["list"], resilient_parsing=True)))


def _below(context: click.Context) -> Iterator[tuple[str, click.Context]]:
    """Yield the commands below a group."""
    group = context.command
    assert isinstance(group, click.Group)  # noqa: S101
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101 - the group listed it
        child = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _below(child)
        else:
            yield child.command_path, child


def options(context: click.Context) -> list[tuple[str, str]]:
    """Return spelling and meaning of every option of a command."""
    found = [each for each in context.command.get_params(context) if isinstance(each, click.Option)]
    records = (option.get_help_record(context) for option in found)
    return [record for record in records if record is not None]


class CommandLine(Directive):
    """One section per command."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [section(path, context) for path, context in commands().items()]


def section(path: str, context: click.Context) -> nodes.section:
    """Return what the page says about one command."""
    usage = " ".join([path, *context.command.collect_usage_pieces(context)])
    found = nodes.section(ids=[nodes.make_id(path)], names=[path])
    found += nodes.title(text=path)
    found += nodes.literal_block(text=usage, language="text")
    for paragraph in inspect.cleandoc(context.command.help or "").split("\n\n"):
        found += _paragraph(" ".join(paragraph.split()))
    found += _table(options(context))
    return found


def _paragraph(text: str) -> nodes.paragraph:
    """Return a paragraph in which words in backticks are code."""
    found = nodes.paragraph()
    for number, part in enumerate(text.split("`")):
        found += nodes.literal(text=part) if number % 2 else nodes.Text(part)
    return found


def _table(rows: list[tuple[str, str]]) -> nodes.table:
    group = nodes.tgroup(cols=2)
    group += [nodes.colspec(colwidth=35), nodes.colspec(colwidth=65)]
    body = nodes.tbody()
    for spelling, meaning in rows:
        row = nodes.row()
        row += nodes.entry("", nodes.paragraph("", "", nodes.literal(text=spelling)))
        row += nodes.entry("", _paragraph(meaning))
        body += row
    group += body
    return nodes.table("", group, classes=["table"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
