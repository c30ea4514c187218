"""What a series of products has in common, and what it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import astropy.units as u

from csstcore.notes import metric
from csstcore.products.image import Image
from csstcore.products.meta import Meta


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


def note_frames(*series: Sequence[Image]) -> None:
    """Keep the number of frames and the first and last observation as metrics.

    They are ``combined_frames``, ``first_obs_id`` and ``last_obs_id`` (in order of time);
    definitions take them into the header. The hashes of all inputs are in the job's record.
    """
    metas = [image.meta for images in series for image in images]
    metric("combined_frames", len(metas))
    dated = [
        (float(meta.time.utc.mjd), meta.obs_id)
        for meta in metas
        if meta.obs_id is not None and meta.time is not None
    ]
    if dated:
        metric("first_obs_id", min(dated)[1])
        metric("last_obs_id", max(dated)[1])


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, u.Quantity):
        return bool(first.shape == second.shape and u.allclose(first, second, rtol=1e-6))
    return bool(first == second)
