"""One run at a time in one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csstcore.errors import ConfigurationError

LOCK_NAME = ".csstcore.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an output folder; the kernel frees it however this process ends.

    Raises
    ------
    ConfigurationError
        Naming the process that holds it.
    """
    path = folder / LOCK_NAME
    try:
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConfigurationError(
                f"{folder} is in use by another run (process {holder}); "
                "wait for it, or give this run a folder of its own with -o"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a run is at work in an output folder."""
    try:
        with (folder / LOCK_NAME).open(encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
