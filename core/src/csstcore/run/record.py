"""The record: everything needed to know and repeat a job, one JSON file per job."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from csstcore.errors import FileError
from csstcore.run.status import Failure, Status

Number = float | int | str | bool | None
FORMAT = 1


@dataclass(slots=True)
class FileRecord:
    """A file that a job read or wrote."""

    name: str
    """Input or output name of the pipeline, or full name of the reference type."""
    path: str
    """Absolute; of outputs relative to the output folder."""
    sha256: str
    """Empty for an input of a job that never began."""
    size: int = 0
    mtime_ns: int = 0
    definition: str = ""
    source: str = ""
    """Of a reference: ``store``, ``shipped`` or ``override``."""


@dataclass(slots=True)
class CallRecord:
    """One call of a stage."""

    status: Status
    element: str = ""
    """Label of the element of a series; empty for a single product."""
    why: str = ""
    failure: Failure = Failure.NONE
    caveats: list[str] = field(default_factory=list)
    metrics: dict[str, Number] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    """Parameter or reference type to file name; ``none`` where an optional one is absent."""
    ended: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    input: str = ""
    """Of an element, the input it is of."""
    index: int = -1
    """Of an element, its place in that input."""


@dataclass(slots=True)
class ParameterRecord:
    """A resolved parameter."""

    value: Any
    origin: str


@dataclass(slots=True)
class StageRecord(CallRecord):
    """A stage of a job; for a mapped stage `elements` tells each call."""

    id: str = ""
    use: str = ""
    distribution: str = ""
    version: str = ""
    required: bool = True
    parameters: dict[str, ParameterRecord] = field(default_factory=dict)
    elements: list[CallRecord] = field(default_factory=list)


@dataclass(slots=True)
class CheckRecord:
    """The result of a quality check."""

    id: str
    use: str
    when: str
    """``read`` (QC0) or ``written`` (QC1)."""
    product: str
    value: float | None
    ok: bool
    minimum: float | None = None
    maximum: float | None = None
    why: str = ""
    element: str = ""


@dataclass(slots=True)
class FigureRecord:
    """A picture of a product."""

    name: str
    product: str
    path: str
    """Relative to the run folder."""
    element: str = ""


@dataclass(slots=True)
class JobRecord:
    """A job."""

    job: str
    pipeline: str
    run: str
    status: Status
    keys: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    failure: Failure = Failure.NONE
    failed_stage: str = ""
    started: str = ""
    ended: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    reading_s: float = 0.0
    writing_s: float = 0.0
    hashing_s: float = 0.0
    """CPU time of hashing inputs, references and outputs."""
    inputs: list[FileRecord] = field(default_factory=list)
    references: list[FileRecord] = field(default_factory=list)
    outputs: list[FileRecord] = field(default_factory=list)
    not_written: dict[str, str] = field(default_factory=dict)
    """Output to the reason why it is absent."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Element of a series to the reason why it was left out."""
    stages: list[StageRecord] = field(default_factory=list)
    checks: list[CheckRecord] = field(default_factory=list)
    figures: list[FigureRecord] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    context: str = ""
    """Identifies the reference rules in force."""
    fingerprint: dict[str, str] = field(default_factory=dict)
    """What decides whether the job must be run again, part by part."""
    format: int = FORMAT


@cache
def _adapter() -> TypeAdapter[JobRecord]:
    return TypeAdapter(JobRecord)


def to_json(record: JobRecord) -> bytes:
    """Return the record as JSON; numbers that are not finite become null."""
    return _adapter().dump_json(record, indent=1)


def from_json(text: bytes | str) -> JobRecord:
    """Return the record that `to_json` wrote."""
    return _adapter().validate_json(text)


def load_record(path: Path) -> JobRecord:
    """Read a record.

    Raises
    ------
    FileError
        If it cannot be read or is no record.
    """
    try:
        return from_json(path.read_bytes())
    except OSError as error:
        raise FileError(f"record {path}: {error.strerror}") from error
    except ValidationError as error:
        raise FileError(f"record {path} is damaged: {error.error_count()} problems") from error


def save_record(record: JobRecord, folder: Path) -> Path:
    """Write the record atomically into `folder`; its rename commits the job.

    Raises
    ------
    FileError
        If the system refuses, for example because the disk is full.
    """
    path = folder / f"{record.job}.json"
    write_atomically(path, to_json(record))
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it.

    Raises
    ------
    FileError
        If the system refuses; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
