"""``csstcore refs``: choose, add, check and compare calibration references."""

from __future__ import annotations

import click

from csstcore.cli.refs.adding import add, make
from csstcore.cli.refs.checking import check, uses
from csstcore.cli.refs.choosing import best, explain, list_references
from csstcore.cli.refs.contexts import diff, freeze


@click.group("refs")
def command() -> None:
    """Choose, add and compare calibration references."""


for _each in (add, best, check, diff, explain, freeze, list_references, make, uses):
    command.add_command(_each)
