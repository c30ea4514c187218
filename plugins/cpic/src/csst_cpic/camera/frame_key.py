"""Which row of a table belongs to which frame of a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.table import QTable

from csstcore.api import Image, Table, UnprocessableData

Key = tuple[str, int]


def frame_keys(frames: Sequence[Image]) -> list[Key]:
    """Return observation and frame number of each frame; its place where it has no number.

    Raises
    ------
    UnprocessableData
        If two frames have the same.
    """
    keys = [
        (frame.meta.obs_id or "", place if frame.meta.frame is None else frame.meta.frame)
        for place, frame in enumerate(frames)
    ]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        obs_id, number = min(twice)
        raise UnprocessableData(f"two frames are number {number} of observation {obs_id!r}")
    return keys


def key_columns(frames: Sequence[Image]) -> QTable:
    """Return a table with the columns ``obs_id`` and ``frame``."""
    keys = frame_keys(frames)
    numbers = np.array([number for _, number in keys], np.int32)
    return QTable({"obs_id": [obs_id for obs_id, _ in keys], "frame": numbers})


def rows_of(frames: Sequence[Image], table: Table, name: str) -> list[int]:
    """Return the row of each frame in a table with `key_columns`.

    Raises
    ------
    UnprocessableData
        If a frame has none.
    """
    ids, numbers = table.table["obs_id"], table.table["frame"]
    rows = {
        (str(obs_id), int(number)): row
        for row, (obs_id, number) in enumerate(zip(ids, numbers, strict=True))
    }
    keys = frame_keys(frames)
    missing = [key for key in keys if key not in rows]
    if missing:
        raise UnprocessableData(
            f"{len(missing)} of {len(keys)} frames have no row in the table {name}; first "
            f"frame {missing[0][1]} of observation {missing[0][0]!r}"
        )
    return [rows[key] for key in keys]
