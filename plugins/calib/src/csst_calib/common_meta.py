"""`common_meta`: what several frames have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import astropy.units as u

from csstcore.api import Meta


def common_meta(metas: Sequence[Meta]) -> Meta:
    """Return the facts that all of `metas` share.

    A field that differs becomes None, but ``time`` is the earliest start and ``end_time``
    the latest end.
    """
    values: dict[str, Any] = {}
    for field in fields(Meta):
        found = [getattr(meta, field.name) for meta in metas]
        if any(value is None for value in found):
            continue
        if field.name == "time":
            values["time"] = min(found)
        elif field.name == "end_time":
            values["end_time"] = max(found)
        elif all(_equal(found[0], value) for value in found[1:]):
            values[field.name] = found[0]
    return Meta(**values)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, u.Quantity):
        return bool(first.shape == second.shape and u.allclose(first, second, rtol=1e-6))
    return bool(first == second)
