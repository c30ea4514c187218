"""sha256 of a file, read once per process while the file does not change."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

from csstcore.errors import ReferenceFileError

_Key = tuple[Path, int, int]
_begun: dict[_Key, Future[str]] = {}


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits.

    The answer is remembered by path, size and modification time.

    Raises
    ------
    ReferenceFileError
        If the file cannot be read.
    """
    try:
        key = _key(path)
        begun = _begun.pop(key, None)
        if begun is not None:
            begun.result()
        return _sha256(*key)
    except OSError as error:
        raise ReferenceFileError(f"reference file {path}: {error.strerror}") from error


def begin_sha256(path: Path) -> None:
    """Begin to hash a file in the background, for `file_sha256` to find it done.

    One thread does this, file by file as they were asked for. What goes wrong is told by
    `file_sha256`.
    """
    try:
        key = _key(path)
    except OSError:
        return
    if key not in _begun:
        _begun[key] = _thread().submit(_sha256, *key)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "sha256")


def _key(path: Path) -> _Key:
    status = path.stat()
    return path.resolve(), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
