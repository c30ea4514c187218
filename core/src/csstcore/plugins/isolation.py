"""Run code of a plugin so that nothing it does at import reaches the host."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType


@contextmanager
def isolated() -> Iterator[Callable[[], bool]]:
    """Keep what code of a plugin writes out of the output, and tell whose Ctrl-C it was.

    Standard output, file descriptor 1 included, goes to standard error meanwhile: it must not
    get into our JSON.

    Yields
    ------
    function
        Returns whether the user pressed Ctrl-C inside the block. A `KeyboardInterrupt` without
        it was raised by the plugin itself.
    """
    pressed = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        assert callable(before)  # noqa: S101 - for the type checker
        before(number, frame)

    ours = callable(before) and _set_handler(note)
    descriptor = _redirect_descriptor()
    try:
        with redirect_stdout(sys.stderr):
            yield lambda: pressed
    finally:
        if descriptor is not None:
            os.dup2(descriptor, 1)
            os.close(descriptor)
        # A handler that the plugin has set meanwhile goes with it.
        if ours:
            signal.signal(signal.SIGINT, before)


def _set_handler(handler: Callable[[int, FrameType | None], None]) -> bool:
    """Set the handler of Ctrl-C; threads beside the main one cannot and never see a Ctrl-C."""
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:
        return False
    return True


def _redirect_descriptor() -> int | None:
    """Let file descriptor 1 write to 2; return a copy of what it was, if both are open."""
    try:
        sys.stdout.flush()
        descriptor = os.dup(1)
    except (OSError, ValueError, AttributeError):  # closed, or there is none
        return None
    try:
        os.dup2(2, 1)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
