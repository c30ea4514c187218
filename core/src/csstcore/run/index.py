"""``index.sqlite``: all records of an output folder at a glance, and the hashes of files.

It can be deleted: records are found again, hashes are computed again. One process writes it,
the one that holds the folder's lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from csstcore.errors import ConfigurationError, FileError
from csstcore.run.hashes import FileHash, Stamp
from csstcore.run.record import JobRecord, load_record
from csstcore.run.status import Status

NAME = "index.sqlite"
_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    path TEXT PRIMARY KEY, run TEXT, pipeline TEXT, job TEXT, status TEXT, failure TEXT,
    failed_stage TEXT, why TEXT, ended TEXT, wall_s REAL, peak_bytes INTEGER
);
CREATE INDEX IF NOT EXISTS records_job ON records (pipeline, job, ended);
CREATE TABLE IF NOT EXISTS used (record TEXT, type TEXT, file TEXT, sha256 TEXT);
CREATE INDEX IF NOT EXISTS used_sha256 ON used (sha256);
CREATE INDEX IF NOT EXISTS used_record ON used (record);
CREATE TABLE IF NOT EXISTS hashes (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT
);
"""
_COLUMNS = "path, run, pipeline, job, status, failure, failed_stage, why, ended, wall_s, peak_bytes"


@dataclass(frozen=True, slots=True)
class Row:
    """A record at a glance."""

    path: str
    """Of the record, relative to the output folder."""
    run: str
    pipeline: str
    job: str
    status: str
    failure: str
    failed_stage: str
    why: str
    ended: str
    wall_s: float
    peak_bytes: int


class Index:
    """The index of one output folder."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection, self._folder = connection, folder

    def add(self, record: JobRecord) -> None:
        """Add a record and the hashes of its files.

        If the disk is full it is left out: the next run finds it among the records.
        """
        try:
            self._insert(record)
            self._connection.commit()
        except sqlite3.OperationalError:
            self._connection.rollback()

    def add_hashes(self, hashes: Iterable[FileHash]) -> None:
        """Remember hashes."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)",
            [(file.path, file.size, file.mtime_ns, file.sha256) for file in hashes],
        )
        self._connection.commit()

    def hashes(self) -> dict[Stamp, str]:
        """Return all remembered hashes."""
        rows = self._connection.execute("SELECT path, size, mtime_ns, sha256 FROM hashes")
        return {(path, size, mtime_ns): sha256 for path, size, mtime_ns, sha256 in rows}

    def synchronise(self) -> list[str]:
        """Add records that are on disk only, drop those that are gone; return what is damaged."""
        on_disk = {
            path.relative_to(self._folder).as_posix()
            for path in (self._folder / "runs").glob("*/jobs/*.json")
        }
        known = {path for (path,) in self._connection.execute("SELECT path FROM records")}
        problems = []
        for path in sorted(on_disk - known):
            try:
                self._insert(load_record(self._folder / path))
            except FileError as error:
                problems.append(str(error))
        gone = [(path,) for path in known - on_disk]
        self._connection.executemany("DELETE FROM records WHERE path = ?", gone)
        self._connection.executemany("DELETE FROM used WHERE record = ?", gone)
        self._connection.commit()
        return problems

    def latest(self, pipeline: str | None = None) -> dict[tuple[str, str], Row]:
        """Return the last record of every job, by pipeline and job."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM records WHERE ? IS NULL OR pipeline = ? ORDER BY ended, path",  # noqa: S608
            (pipeline, pipeline),
        )
        return {(row.pipeline, row.job): row for row in (Row(*values) for values in rows)}

    def users(self, name: str, sha256: str | None = None) -> list[Row]:
        """Return the records of the products that were made with a reference.

        Only the record counts that wrote the products of a job last.

        Parameters
        ----------
        name
            File name of the reference.
        sha256
            Of the file; if given, it decides instead of the name.
        """
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM records WHERE status IN (?, ?) ORDER BY ended, path",  # noqa: S608
            (Status.DONE, Status.CAVEATS),
        )
        last = {(row.pipeline, row.job): row for row in (Row(*values) for values in rows)}
        wanted = ("file", name) if sha256 is None else ("sha256", sha256)
        using = self._connection.execute(
            f"SELECT record FROM used WHERE {wanted[0]} = ?",  # noqa: S608
            wanted[1:],
        )
        records = {record for (record,) in using}
        return [last[key] for key in sorted(last) if last[key].path in records]

    def of_run(self, run: str) -> list[Row]:
        """Return the records of one run, in the order of jobs."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM records WHERE run = ? ORDER BY pipeline, job",  # noqa: S608
            (run,),
        )
        return [Row(*values) for values in rows]

    def _insert(self, record: JobRecord) -> None:
        path = f"runs/{record.run}/jobs/{record.job}.json"
        values = (
            path,
            record.run,
            record.pipeline,
            record.job,
            record.status,
            record.failure,
            record.failed_stage,
            record.why,
            record.ended,
            record.wall_s,
            record.peak_bytes,
        )
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT OR REPLACE INTO records VALUES ({marks})", values)  # noqa: S608
        self._connection.execute("DELETE FROM used WHERE record = ?", (path,))
        self._connection.executemany(
            "INSERT INTO used VALUES (?, ?, ?, ?)",
            [(path, f.name, Path(f.path).name, f.sha256) for f in record.references],
        )
        files = [(f.path, f.size, f.mtime_ns, f.sha256) for f in record.inputs if f.sha256]
        files += [
            (str(self._folder / f.path), f.size, f.mtime_ns, f.sha256) for f in record.outputs
        ]
        self._connection.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", files)


@contextmanager
def open_index(folder: Path) -> Iterator[Index]:
    """Open the index of an output folder for writing; a damaged one is made anew.

    Raises
    ------
    ConfigurationError
        If it cannot be opened, made or written.
    """
    path = folder / NAME
    try:
        connection = _connect(path)
    except sqlite3.OperationalError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    except sqlite3.DatabaseError:
        for part in (path, path.with_name(f"{NAME}-wal"), path.with_name(f"{NAME}-shm")):
            part.unlink(missing_ok=True)
        connection = _connect(path)
    try:
        yield Index(connection, folder)
    except sqlite3.OperationalError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    finally:
        connection.close()


@contextmanager
def peek_index(folder: Path) -> Iterator[Index]:
    """Open a copy of the index in memory, brought up to date; nothing on disk changes."""
    connection = sqlite3.connect(":memory:")
    try:
        with suppress(sqlite3.Error):
            on_disk = sqlite3.connect(f"{(folder / NAME).as_uri()}?mode=ro", uri=True)
            with closing(on_disk):
                on_disk.backup(connection)
        _make_tables(connection)
        index = Index(connection, folder)
        index.synchronise()
        yield index
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _make_tables(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make what is missing; records of an index of another version are read again."""
    if connection.execute("PRAGMA user_version").fetchone() != (_VERSION,):
        connection.executescript(f"DROP TABLE IF EXISTS records; PRAGMA user_version = {_VERSION};")
    connection.executescript(_SCHEMA)
