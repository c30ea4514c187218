"""Which files of a project can be calibrated together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from csst_hstdm.dump_rows import rows_of, seconds, states, tuning
from csstcore.api import Spectra, UnprocessableData, caveat


def usable(series: Sequence[Spectra], load_columns: Sequence[str] = ()) -> list[bool]:
    """Return which files are used; why the others are left out is said in caveats.

    Left out are files with rows that cannot be read, with several tunings, with another number of
    channels than most, and those that are given twice.

    Parameters
    ----------
    series
        Dumps of each file.
    load_columns
        Columns that the rows of files with loads must have.

    Raises
    ------
    UnprocessableData
        If no file can be used, or it cannot be told which number of channels is right.
    """
    why = [_unreadable(dumps, load_columns) for dumps in series]
    channels = Counter(d.flux.shape[1] for d, reason in zip(series, why, strict=True) if not reason)
    most = channels.most_common(2)
    if len(most) > 1 and most[0][1] == most[1][1]:
        raise UnprocessableData(
            f"files with {', '.join(map(str, sorted(channels)))} channels; expected one number "
            "for all, or for most of them"
        )
    known: dict[tuple[object, ...], str] = {}
    for index, dumps in enumerate(series):
        if why[index]:
            continue
        if dumps.flux.shape[1] != most[0][0]:
            why[index] = f"{dumps.flux.shape[1]} channels; most files have {most[0][0]}"
            continue
        content = _content(dumps)
        if content in known:
            why[index] = f"it is the same as {known[content]}"
        known.setdefault(content, _name(dumps, index))
    for index, reason in enumerate(why):
        if reason:
            caveat(f"{_name(series[index], index)} is left out: {reason}")
    if not any(not reason for reason in why):
        raise UnprocessableData("; ".join(dict.fromkeys(why)) or "no files with dumps")
    return [not reason for reason in why]


def _unreadable(dumps: Spectra, load_columns: Sequence[str]) -> str:
    """Return why the rows of a file cannot be used; nothing if they can."""
    try:
        rows = rows_of(dumps)
        if not len(rows):
            return "it has no dumps"
        tuning(dumps)
        seconds(rows)
    except UnprocessableData as error:
        return str(error)
    lacking = [name for name in load_columns if name not in rows.colnames]
    if not lacking or not np.isin(states(rows), ["HOT", "COLD"]).any():
        return ""
    return f"the rows have no column {', '.join(lacking)}; found {', '.join(rows.colnames)}"


def _content(dumps: Spectra) -> tuple[object, ...]:
    """Return what two files share only if they hold the same dumps."""
    rows = rows_of(dumps)
    counts = np.ascontiguousarray(dumps.flux[[0, -1]])
    return (tuning(dumps), seconds(rows).tobytes(), states(rows).tobytes(), counts.tobytes())


def _name(dumps: Spectra, index: int) -> str:
    meta = dumps.meta
    return f"file {index + 1} (observation {meta.obs_id})" if meta.obs_id else f"file {index + 1}"
