"""`Sources`: where the keywords of a written product take their values from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from csstcore.definitions.checks import CheckResult
from csstcore.definitions.fields import product_field
from csstcore.definitions.header import Header
from csstcore.products.meta import Meta


@dataclass(frozen=True)
class Sources:
    """What a job knows when it writes a product."""

    headers: Mapping[str, Header] = field(default_factory=dict)
    """Header of (the first file of) each input of the pipeline, the main input first."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the job."""
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Stage id to status: done, done with caveats, skipped, failed, blocked."""
    times: Mapping[str, str] = field(default_factory=dict)
    """Stage id to the time it ended (ISO 8601, UTC)."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Reference type, and parameter name, to file name."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, CheckResult] = field(default_factory=dict)
    """Check id to outcome."""
    record: Mapping[str, str] = field(default_factory=dict)
    """run, pipeline, context, job, date."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distribution to version."""


def look_up(
    origins: tuple[str, ...], sources: Sources, meta: Meta, kind: str, product: Any = None
) -> Any:
    """Return the value of the first origin that has one, or None.

    Parameters
    ----------
    origins
        ``kind.name`` each, as in a definition's ``from``.
    sources
        What the job knows.
    meta
        Of the product.
    kind
        Type of the keyword that wants the value: ``int``, ``float``, ``str`` or ``bool``.
    product
        What is written, for ``product.FIELD``.
    """
    for origin in origins:
        if origin.startswith("product."):
            value = product_field(product, origin.removeprefix("product."))
        else:
            value = _look_up(origin, sources, meta, kind)
        if value is not None:
            return value
    return None


def _look_up(origin: str, sources: Sources, meta: Meta, kind: str) -> Any:
    group, _, name = origin.partition(".")
    if group == "header":
        return _from_header(name, sources)
    if group == "meta":
        return getattr(meta, name)
    if group == "status":
        return _status(sources.statuses.get(name), kind)
    if group == "check":
        return _check([sources.checks.get(part) for part in name.split("+")], kind)
    if group == "field":
        header = next(iter(sources.headers.values()), None)
        return None if header is None else header.fields.get(name)
    tables: dict[str, Mapping[str, Any]] = {
        "time": sources.times,
        "reference": sources.references,
        "metric": sources.metrics,
        "record": sources.record,
        "version": sources.versions,
        "key": sources.keys,
    }
    return tables[group].get(name)


def _from_header(name: str, sources: Sources) -> Any:
    """Return a keyword of the first input, or of a named one (``INPUT.KEY``)."""
    given, dot, keyword = name.rpartition(".")
    first = next(iter(sources.headers.values()), None)
    header = sources.headers.get(given) if dot else first
    return None if header is None else header.get(keyword)


def _status(status: str | None, kind: str) -> Any:
    """Return the word, or as a whole number 0 done, 1 failed; nothing for what did not run."""
    if status is None or kind == "str":
        return None if status is None else str(status)
    if str(status).startswith("done"):
        return 0
    return 1 if status == "failed" else None


def _check(results: list[CheckResult | None], kind: str) -> Any:
    """Return the number of a check, or as a whole number 0 within its limits, 1 outside.

    Of several checks (``check.A+B``), 0 if all that were made are within their limits.
    """
    made = [result for result in results if result is not None and result.value is not None]
    if not made:
        return None
    return int(not all(result.ok for result in made)) if kind == "int" else made[0].value
