"""Facts about a product made of several files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import astropy.units as u

from csstcore.api import Meta, Spectra, replace

_SUMMED = ("time", "end_time", "exposure_time")


def summed_meta(series: Sequence[Spectra]) -> Meta:
    """Return the facts that all files share, with the whole time and exposure."""
    metas = [dumps.meta for dumps in series]
    shared = {
        field.name: getattr(metas[0], field.name)
        for field in fields(Meta)
        if field.name not in _SUMMED
        and all(_same(getattr(meta, field.name), getattr(metas[0], field.name)) for meta in metas)
    }
    starts = [meta.time for meta in metas if meta.time is not None]
    ends = [meta.end_time for meta in metas if meta.end_time is not None]
    exposures = [meta.exposure_time for meta in metas if meta.exposure_time is not None]
    return replace(
        Meta(**shared),
        level=2,
        frame=None,
        time=min(starts) if starts else None,
        end_time=max(ends) if ends else None,
        exposure_time=sum(exposures, 0 * u.s) if exposures else None,
    )


def _same(one: object, other: object) -> bool:
    if one is None or other is None:
        return one is other
    return bool(one == other)
