"""Errors that csstcore and stages raise, with the exit code each one means.

Every message names the file, keyword, setting or stage concerned, what was found and
what was expected. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_PLUGINS = 3
EXIT_SOME_FAILED = 4
EXIT_ALL_FAILED = 5
EXIT_INTERRUPTED = 130


class CsstError(Exception):
    """An error whose message is meant for the user; no traceback is shown."""

    exit_code: int = EXIT_USAGE


class ConfigurationError(CsstError):
    """A definition, pipeline, parameter or command line is wrong."""


class PluginError(CsstError):
    """A plugin is missing, broken, incompatible or in conflict."""

    exit_code = EXIT_PLUGINS


class FileError(CsstError):
    """A file cannot be read, is damaged, or does not satisfy its definition."""

    exit_code = EXIT_ALL_FAILED


class ReferenceFileError(CsstError):
    """No reference, or more than one, fits an observation; or a reference is damaged."""


class Problems(ConfigurationError):
    """Everything that is wrong, reported at once.

    Parameters
    ----------
    title
        What was checked.
    problems
        One line per problem.
    """

    def __init__(self, title: str, problems: Iterable[str]) -> None:
        self.title = title
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{title}:\n{lines}")

    def __reduce__(self) -> tuple[type[Problems], tuple[str, tuple[str, ...]]]:
        return (type(self), (self.title, self.problems))


class NotApplicable(Exception):
    """Raised by a stage that has nothing to do on this input: the stage is skipped."""


class UnprocessableData(Exception):
    """Raised by a stage whose input cannot be processed: the stage fails, with a reason.

    Must be raised before the first change in place.
    """


def text_of(error: BaseException) -> str:
    """Return what an exception of foreign code says; its ``__str__`` may fail itself."""
    try:
        return str(error)
    except BaseException as failure:
        return f"(its text cannot be shown: {type(failure).__name__})"


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the valid name nearest to `name`, or nothing."""
    from difflib import get_close_matches  # only errors need it: starting stays cheap

    close = get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
