"""From paths on the command line to files with keys, each offered to every input."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csstcore.definitions.catalog import Definitions
from csstcore.definitions.header import Header, read_header
from csstcore.definitions.meta import read_keys, read_meta
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.names import parse_name
from csstcore.definitions.recognise import why_not
from csstcore.errors import ConfigurationError, FileError
from csstcore.pipeline.model import Range
from csstcore.pipeline.plan import Plan, PlanInput
from csstcore.products.meta import META_FIELDS, Meta

IDENTITY_KEYS = ("obs_id", "detector", "frame", "brick")
"""Keys that, beside those of the pipeline, tell the elements of a series apart."""

Keys = dict[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that an input takes."""

    path: Path
    definition: str
    keys: Keys
    """The values of each key; several where the file belongs to several jobs."""
    meta: Meta


@dataclass(slots=True)
class Scan:
    """What became of every file."""

    taken: dict[str, list[Taken]]
    """By input."""
    unreadable: dict[Path, str] = field(default_factory=dict)
    """Files that some input would take, with what is wrong with them."""
    refused: dict[Path, dict[str, str]] = field(default_factory=dict)
    """Files that no input takes: the reason by input."""
    no_files: dict[Path, str] = field(default_factory=dict)
    """What is below the named folders and is not looked into, with the reason."""


def find_files(paths: Iterable[Path], left: dict[Path, str]) -> Iterator[tuple[Path, bool]]:
    """Yield every file named or below a named folder, once, and whether it was named itself.

    Links are followed, each folder once. Hidden files are left out, and the records below the
    output folder of a run. Only regular files are yielded, nothing that waits (a pipe) or never
    ends (a device).

    Parameters
    ----------
    left
        Gets what is not yielded though it is neither hidden nor a record, with the reason.

    Raises
    ------
    ConfigurationError
        If a path does not exist.
    """
    seen: set[Path] = set()
    visited: set[tuple[int, int]] = set()
    for path in paths:
        absolute = Path(os.path.abspath(path))
        if absolute.is_dir():
            found = [(file, False) for file in _below(absolute, visited, left)]
        elif absolute.exists():
            found = [(absolute, True)]
        else:
            raise ConfigurationError(f"{_printable(path)}: no such file or folder")
        for file, named in found:
            if file in seen:
                continue
            seen.add(file)
            why = _why_no_file(file)
            if why:
                left[_printable(file)] = why
            else:
                yield file, named


def _why_no_file(path: Path) -> str:
    """Return why a path cannot be an input, or an empty string."""
    try:
        str(path).encode()
        mode = path.stat().st_mode
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if stat.S_ISREG(mode) else "no regular file"


def _printable(path: Path) -> Path:
    return Path(str(path).encode(errors="surrogateescape").decode(errors="backslashreplace"))


def _below(folder: Path, visited: set[tuple[int, int]], left: dict[Path, str]) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        left[_printable(Path(error.filename))] = f"cannot be read: {error.strerror}"

    for root, folders, files in os.walk(folder, followlinks=True, onerror=refused):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        is_output = "index.sqlite" in files
        folders[:] = sorted(
            name for name in folders if name[0] != "." and not (is_output and name == "runs")
        )
        for name in sorted(files):
            if name[0] != "." and not (is_output and name.startswith("index.sqlite")):
                yield Path(root) / name


def scan(plan: Plan, definitions: Definitions, paths: Iterable[Path]) -> Scan:
    """Offer every file to every input of a pipeline."""
    result = Scan({item.name: [] for item in plan.inputs})
    wanted = _wanted(plan)
    for path, named in find_files(paths, result.no_files):
        reasons: dict[str, str] = {}
        errors: list[str] = []
        taken = False
        for item in plan.inputs:
            outcome = _offer(item, definitions, path, plan.group_by, wanted, named, errors)
            if isinstance(outcome, Taken):
                result.taken[item.name].append(outcome)
                taken = True
            else:
                reasons[item.name] = outcome
        if errors and not taken:
            result.unreadable[path] = errors[0]
        elif not taken:
            result.refused[path] = reasons
    return result


def _wanted(plan: Plan) -> tuple[str, ...]:
    """Return every key that any input is grouped, joined or told apart by."""
    names = [*plan.group_by, *IDENTITY_KEYS]
    for item in plan.inputs:
        names += item.model.by or ()
    return tuple(dict.fromkeys(names))


def _offer(
    item: PlanInput,
    definitions: Definitions,
    path: Path,
    group_by: Sequence[str],
    wanted: Sequence[str],
    named: bool,
    errors: list[str],
) -> Taken | str:
    """Return the file as this input takes it, or why the input does not.

    What is wrong with a file that is of this input by its name, or was named on the command
    line and fits no input, is added to `errors`.
    """
    reasons: list[str] = []
    for name in item.definitions:
        definition = definitions.get(name)
        by_name = definition.file is not None and parse_name(definition, path.name) is not None
        try:
            header = read_header(definition, path)
            against = why_not(definition, path, header)
            if against:
                reasons.append(f"no {name}: {'; '.join(against)}")
                continue
            meta = read_meta(definition, header)
            unmet = _unmet(item.model.where, _keys(definition, header, meta, item.model.where))
            if unmet:
                reasons.append(unmet)
                continue
            needed = item.model.by if item.model.by is not None else group_by
            keys = read_keys(definition, header, meta, needed)
            keys |= _keys(definition, header, meta, [key for key in wanted if key not in keys])
            return Taken(path, name, keys, meta)
        except FileError as error:
            reasons.append(f"no {name}: {error}")
            if by_name or named:
                errors.append(str(error))
    return "; ".join(reasons)


def _keys(definition: DefinitionModel, header: Header, meta: Meta, names: Iterable[str]) -> Keys:
    """Return those of the named keys that the file gives."""
    keys: Keys = {}
    for name in names:
        if name in definition.keys or (name in META_FIELDS and getattr(meta, name) is not None):
            try:
                keys |= read_keys(definition, header, meta, [name])
            except FileError:
                continue
    return keys


def _unmet(where: Mapping[str, Any], keys: Mapping[str, tuple[Any, ...]]) -> str:
    """Return why a file does not satisfy ``where``, or an empty string."""
    for name, condition in where.items():
        values = keys.get(name, ())
        if not any(_accepts(condition, value) for value in values):
            found = " and ".join(map(repr, values)) or "absent"
            return f"{name} is {found}; the input wants {_shown(condition)}"
    return ""


def _accepts(condition: Any, value: Any) -> bool:
    if isinstance(condition, Range):
        if isinstance(value, str) or value is None:
            return False
        low, high = condition.minimum, condition.maximum
        return (low is None or value >= low) and (high is None or value <= high)
    return bool(value in condition if isinstance(condition, tuple) else value == condition)


def _shown(condition: Any) -> str:
    if isinstance(condition, Range):
        low, high = condition.minimum, condition.maximum
        parts = [
            f"at least {low}" if low is not None else "",
            f"at most {high}" if high is not None else "",
        ]
        return " and ".join(part for part in parts if part)
    return " or ".join(map(repr, condition)) if isinstance(condition, tuple) else repr(condition)
