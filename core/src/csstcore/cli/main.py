"""The command ``csstcore``: finds the subcommand, and turns errors into exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from csstcore import __version__
from csstcore.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    CsstError,
    nearest,
)

COMMANDS: Final = ("describe", "doctor", "list", "new", "refs", "run", "status", "validate")
"""Each is a module of this package; only the one that is called is imported."""

REFUSED_BY_THE_SYSTEM: Final = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG),
)
"""Errors that are no bug wherever they come up: no permission, no space, a name too long."""

SHORT: Final = ("list",)
"""Commands that import and print: they leave no garbage worth a search."""

# Imports make many objects and no garbage: without searching for it, 9 of 110 ms are spared.
gc.freeze()
gc.enable()
# Spares the interpreter a walk over every object when it ends: 8 of 100 ms of a short command.
atexit.register(gc.freeze)


class LazyGroup(click.Group):
    """A group whose subcommand ``name`` is ``csstcore.cli.<name>.command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"csstcore.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown subcommand, with the nearest known one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command is called {args[0]!r}{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="csstcore")
def cli() -> None:
    """Process CSST data with the installed plugins."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments
        The words after ``csstcore``; those of this process if absent.

    Returns
    -------
    int
        0, or the code of the error (`csstcore.errors`): 130 if interrupted, 1 for a bug,
        which alone shows a traceback.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and words[0] in SHORT:
        gc.disable()
    try:
        # Outside standalone mode click returns the code of `Context.exit`.
        code = cli.main(words, prog_name="csstcore", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):  # click turns most Ctrl-C into Abort
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except CsstError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except OSError as error:
        if error.errno not in REFUSED_BY_THE_SYSTEM:
            traceback.print_exc()
            return EXIT_BUG
        click.echo(f"error: {error.filename}: {error.strerror}", err=True)
        return EXIT_USAGE
    except Exception:
        traceback.print_exc()
        return EXIT_BUG
    finally:
        gc.enable()
    return code if isinstance(code, int) else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
