"""sha256 of files: one pass per byte, remembered by path, size and modification time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from csstcore.errors import FileError

Stamp = tuple[str, int, int]
"""Absolute path, size in bytes and modification time in nanoseconds."""


@dataclass(frozen=True, slots=True)
class FileHash:
    """A file as it was when it was hashed."""

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @property
    def stamp(self) -> Stamp:
        """What must be unchanged for the hash to hold."""
        return (self.path, self.size, self.mtime_ns)


def stamp(path: Path) -> Stamp:
    """Return the stamp of a file.

    Raises
    ------
    FileError
        If there is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    return (str(path), status.st_size, status.st_mtime_ns)


def hash_file(path: Path, known: Mapping[Stamp, str] | None = None) -> FileHash:
    """Return the hash of a file, from `known` if its stamp is there."""
    name, size, mtime_ns = stamp(path)
    sha256 = (known or {}).get((name, size, mtime_ns))
    if sha256 is None:
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}") from error
    return FileHash(name, size, mtime_ns, sha256)


def hash_files(
    paths: Iterable[Path], known: Mapping[Stamp, str], threads: int
) -> dict[str, FileHash]:
    """Hash many files in threads; files that cannot be read are left out."""

    def one(path: Path) -> FileHash | None:
        try:
            return hash_file(path, known)
        except FileError:
            return None

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        return {found.path: found for found in pool.map(one, paths) if found is not None}


def hash_folder(folder: Path) -> str:
    """Return one hash over names and contents of all source files below `folder`."""
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            state.update(f"{path.relative_to(folder).as_posix()}\0".encode())
            with path.open("rb") as file:
                state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()
