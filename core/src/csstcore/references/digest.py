"""sha256 of a file, read once per process while the file does not change."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from csstcore.errors import ReferenceFileError


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits.

    The answer is remembered by path, size and modification time.

    Raises
    ------
    ReferenceFileError
        If the file cannot be read.
    """
    try:
        status = path.stat()
        return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ReferenceFileError(f"reference file {path}: {error.strerror}") from error


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
