"""How a stage, an element of a series, or a job ended."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The one vocabulary of outcomes, in records, headers and reports."""

    DONE = "done"
    """Everything asked for was delivered."""
    CAVEATS = "done with caveats"
    """Delivered, with reservations that are listed."""
    SKIPPED = "skipped"
    """There was nothing to do on this input; why says so."""
    FAILED = "failed"
    """Tried and not delivered; why says what went wrong."""
    BLOCKED = "blocked"
    """Not tried, because something it needs was not delivered; why says by whom."""

    @property
    def delivered(self) -> bool:
        """Whether products came out."""
        return self in (Status.DONE, Status.CAVEATS)


class Failure(StrEnum):
    """Kinds of failure, which decide whether a job is tried again."""

    NONE = ""
    UNPROCESSABLE = "unprocessable"
    """A stage refused the data: tried again only when asked for."""
    ERROR = "error"
    """A file, reference or setting is wrong."""
    BUG = "bug"
    """An exception that nobody foresaw; the traceback is in the log."""
    DIED = "died"
    """The worker process ended."""
