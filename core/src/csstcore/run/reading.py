"""Read the inputs of a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csstcore.definitions.checks import CheckResult
from csstcore.definitions.read import merge_products, read_products
from csstcore.errors import FileError
from csstcore.pipeline.plan import PlanInput
from csstcore.products.meta import Meta
from csstcore.report import run_checks
from csstcore.run.environment import Environment
from csstcore.run.jobs import Job, Unit
from csstcore.run.record import CheckRecord, JobRecord
from csstcore.run.spool import Spool
from csstcore.run.values import Element, Series, Values


def read_inputs(env: Environment, job: Job, spool: Spool, record: JobRecord) -> Values:
    """Read all inputs and make the checks of read files (QC0).

    Elements of a series go to the spool, so that one at a time is in memory.

    Raises
    ------
    FileError
        If a file is damaged, does not satisfy its definition, or an input has too few.
    """
    values = Values()
    for item in env.plan.inputs:
        elements: list[Element] = []
        products: list[Any] = []
        units = job.inputs[item.name]
        labels = Counter(_label(unit.keys, job.keys) for unit in units)
        for unit in units:
            alone = labels[_label(unit.keys, job.keys)] == 1
            read = _read(env, item, unit, len(elements), job.keys, record, alone=alone)
            for element, product in read:
                elements.append(element)
                products.append(spool.put(product) if len(units) + len(read) > 2 else product)
            del read
        _require_enough(item, elements)
        values.elements[item.name] = elements
        if products:
            series = Series(item.name, dict(enumerate(products)))
            values.by_name[item.name] = series if item.model.many else products[0]
    return values


def _read(
    env: Environment,
    item: PlanInput,
    unit: Unit,
    first: int,
    job_keys: Mapping[str, Any],
    record: JobRecord,
    *,
    alone: bool,
) -> list[tuple[Element, Any]]:
    """Read one unit: one product, or one for each frame of its files.

    Unless it is `alone` with its keys, its elements are told apart by their numbers.
    """
    files = []
    for name, path in unit.files:
        files.append(read_products(env.definitions.get(name), Path(path)))
    products = merge_products(files) if len(files) > 1 else files[0].products
    if len(products) != 1 and not item.model.many:
        raise FileError(
            f"{unit.files[0][1]}: holds {len(products)} products; input {item.name!r} takes one "
            "(with many = true it takes them all)"
        )
    headers = files[0].frame_headers or [files[0].header] * len(products)
    read = []
    every = [_keys(unit.keys, product, several=len(products) > 1) for product in products]
    labels = Counter(_label(keys, job_keys) for keys in every)
    for index, (keys, product, header) in enumerate(zip(every, products, headers, strict=True)):
        label, number = _label(keys, job_keys), first + index
        if not label:
            label = str(number)
        elif not alone or labels[label] > 1:
            label = f"{label}, element {number}"
        element = Element(
            item.name,
            number,
            keys,
            header,
            getattr(product, "meta", None) or Meta(),
            unit.files[0][1],
            label,
        )
        for name, _ in unit.files:
            _check(env, name, product, element, record)
        read.append((element, product))
    return read


def _keys(keys: Mapping[str, Any], product: Any, *, several: bool) -> dict[str, Any]:
    frame = getattr(getattr(product, "meta", None), "frame", None)
    return {**keys, "frame": frame} if several and frame is not None else dict(keys)


def _label(keys: Mapping[str, Any], job_keys: Mapping[str, Any]) -> str:
    own = {name: value for name, value in keys.items() if job_keys.get(name) != value}
    return ", ".join(f"{name} {value}" for name, value in own.items())


def _check(env: Environment, name: str, product: Any, element: Element, record: JobRecord) -> None:
    for result in run_checks(env.definitions.get(name), product, "read", env.registry):
        note_check(record, result, "read", element.root, element.label)


def note_check(
    record: JobRecord, result: CheckResult, when: str, product: str, element: str
) -> None:
    """Put the result of a check into the record; one that is not ok is a caveat too."""
    record.checks.append(
        CheckRecord(
            id=result.id,
            use=result.use,
            when=when,
            product=product,
            value=result.value,
            ok=result.ok,
            minimum=result.minimum,
            maximum=result.maximum,
            why=result.why,
            element=element,
        )
    )
    if not result.ok:
        record.caveats.append(f"check {result.id} of {product}: {result.why}")


def _require_enough(item: PlanInput, elements: list[Element]) -> None:
    minimum = item.model.minimum or 1
    if elements and len(elements) < minimum:
        raise FileError(
            f"input {item.name!r}: found {len(elements)}, needs at least {minimum}: "
            + ", ".join(element.label for element in elements)
        )
