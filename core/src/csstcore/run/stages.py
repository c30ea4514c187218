"""Run the stages of a job: once, over a whole series, or mapped element by element.

Consecutive mapped stages are run element by element: all of them on the first element, then
all on the second. So one element is in memory at a time, however long the series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from csstcore.pipeline.plan import Step
from csstcore.pipeline.signature import Input
from csstcore.run.caller import MISSING, Absent, Blocked, Caller, Lookup
from csstcore.run.chosen import Chosen, observed_inputs
from csstcore.run.environment import Environment
from csstcore.run.jobs import Job
from csstcore.run.logs import JobLog
from csstcore.run.record import CallRecord, ParameterRecord, StageRecord
from csstcore.run.spool import Spool
from csstcore.run.status import Failure, Status
from csstcore.run.summing import sum_up
from csstcore.run.values import Element, Series, Values


@dataclass
class Stages:
    """The stages of one job at work."""

    env: Environment
    job: Job
    values: Values
    chosen: Chosen
    spool: Spool
    log: JobLog | None = None
    records: list[StageRecord] = field(default_factory=list)
    stopped: StageRecord | None = None
    """The required stage that failed, after which nothing runs."""
    _causes: dict[str, str] = field(default_factory=dict)
    """By product, who did not deliver it."""

    def __post_init__(self) -> None:
        self._observed = observed_inputs(self.env.plan)
        for name, elements in self.values.elements.items():
            if not elements:
                self._causes[name] = f"input {name!r} has no file"
        self.caller = Caller(
            self.env, self.job, self.values, self.chosen, self._observed, self._causes, self.log
        )

    def run(self) -> None:
        """Run all stages; how each ended is in `records`."""
        steps = self.env.plan.steps
        position = 0
        while position < len(steps):
            step = steps[position]
            if self.stopped is not None:
                record = CallRecord(Status.BLOCKED, why=f"blocked by {self.stopped.id}")
                self.records.append(self._stage_record(step, record))
                position += 1
            elif step.mapped:
                segment = self._segment(position)
                self._map(segment)
                position += len(segment)
            else:
                self._once(step)
                position += 1
            self.values.keep_only(steps[position - 1].live_after)
        self.env.release_references()

    # One call on single products or whole series

    def _once(self, step: Step) -> None:
        given = self._given(step)
        driver = next(iter(given.values()), [])
        call = self.caller.call(step, None, self._whole_lookup(given), driver, {})
        record = self._stage_record(step, call.record)
        self.records.append(record)
        for output in step.signature.outputs:
            name = step.outputs[output.name]
            if name not in call.outputs:
                continue
            product = call.outputs.pop(name)
            if output.series:
                elements = driver
                if not any(item.series for item in step.signature.inputs):
                    elements = self.values.begin(f"{step.id}.{name}", product, self.job.keys)
                root = elements[0].root if elements else self._observed[step.id]
                pairs = zip(elements, product, strict=True)
                products = {element.index: self._spooled(each) for element, each in pairs}
                self.values.by_name[name] = Series(root, products)
            else:
                self.values.by_name[name] = product
        self._note_missing(step, record, self.values.by_name)
        if step.required and record.status in (Status.FAILED, Status.BLOCKED):
            self.stopped = record

    def _given(self, step: Step) -> dict[str, list[Element]]:
        """Return the elements of each whole series that a stage is given, in order, by product.

        Series that follow one input, or inputs whose elements match one to one, are aligned:
        only elements that all of them have, those of the first in their order. Every other
        series is given whole and in its own order.
        """
        groups: dict[str, list[tuple[Input, Series, dict[int, Element]]]] = {}
        for item, series in self._whole_series(step):
            for lead in (*groups, series.root):
                partners = self.values.partners(lead, series.root, self.job.keys)
                if partners:
                    groups.setdefault(lead, []).append((item, series, partners))
                    break
        given: dict[str, list[Element]] = {}
        for lead, members in groups.items():
            kept = [
                element.index
                for element in self.values.remaining(lead)
                if all(self._has(series, pairs[element.index], i) for i, series, pairs in members)
            ]
            for item, _, pairs in members:
                given[step.bindings[item.name].name] = [pairs[index] for index in kept]
        return given

    def _whole_series(self, step: Step) -> Iterator[tuple[Input, Series]]:
        for item in step.signature.inputs:
            value = self.values.by_name.get(step.bindings[item.name].name)
            if item.series and isinstance(value, Series):
                yield item, value

    def _has(self, series: Series, element: Element, item: Input) -> bool:
        if self.values.is_dropped(element):
            return False
        return item.optional_elements or series.products.get(element.index) is not None

    def _whole_lookup(self, given: Mapping[str, Sequence[Element]]) -> Lookup:
        def lookup(name: str) -> Any:
            value = self.values.by_name.get(name, MISSING)
            if not isinstance(value, Series):
                return value
            return [value.products.get(element.index) for element in given[name]] or MISSING

        return lookup

    # Mapped over a series

    def _segment(self, position: int) -> list[Step]:
        """Return the mapped stages from here on that follow the elements of one input."""
        made: dict[str, str] = {}
        root = self._root(self.env.plan.steps[position], made)

        def follows(step: Step) -> bool:
            if not step.mapped or self._root(step, made) != root:
                return False
            made.update(dict.fromkeys(step.outputs.values(), root))
            return True

        return list(takewhile(follows, self.env.plan.steps[position:]))

    def _root(self, step: Step, made: Mapping[str, str]) -> str:
        """Return the input whose elements a mapped stage follows: that of its first series."""
        for name in step.signature.order:
            product = step.bindings[name].name
            value = self.values.by_name.get(product)
            if product in made:
                return made[product]
            if isinstance(value, Series):
                return value.root
        return self._observed[step.id]

    def _map(self, segment: Sequence[Step]) -> None:
        root = self._root(segment[0], {})
        if not self.values.elements[root]:
            self._skip(segment, self._causes[root])
            return
        elements = self.values.remaining(root)
        calls: dict[str, list[CallRecord]] = {step.id: [] for step in segment}
        made: dict[str, Series] = {}
        for element in elements:
            local = self._map_element(segment, element, calls)
            for name, product in local.items():
                kept = self._spooled(product) if len(elements) > 1 else product
                made.setdefault(name, Series(root)).products[element.index] = kept
            self._release(element, segment[-1].live_after)
        for name, series in made.items():
            before = self.values.by_name.get(name)
            if isinstance(before, Series) and before.root == root:
                series.products = {**before.products, **series.products}
            self.values.by_name[name] = series
        for step in segment:
            record = self._stage_record(step, sum_up(calls[step.id]))
            record.elements = calls[step.id]
            self.records.append(record)
            self._note_missing(step, record, self.values.by_name)
            self._require_elements(root, record)

    def _skip(self, segment: Sequence[Step], why: str) -> None:
        """Record stages that are mapped over a series without elements."""
        for step in segment:
            self.records.append(self._stage_record(step, CallRecord(Status.SKIPPED, why=why)))
            self._note_missing(step, self.records[-1], self.values.by_name)

    def _map_element(
        self, segment: Sequence[Step], element: Element, calls: Mapping[str, list[CallRecord]]
    ) -> dict[str, Any]:
        """Run all stages of a segment on one element; return what is still needed of it."""
        local: dict[str, Any] = {}
        causes: dict[str, str] = {}
        failed = ""
        for step in segment:
            if failed:
                blocked = CallRecord(Status.BLOCKED, element.label, f"blocked by {failed}")
                blocked.input, blocked.index = element.root, element.index
                calls[step.id].append(blocked)
                continue
            call = self.caller.call(
                step, element, self._element_lookup(element, local, causes), [element], local
            )
            call.record.input, call.record.index = element.root, element.index
            calls[step.id].append(call.record)
            local.update(call.outputs)
            for name in step.outputs.values():
                if not call.record.status.delivered:
                    causes[name] = _cause(step, call.record)
            if step.required and call.record.status in (Status.FAILED, Status.BLOCKED):
                failed = step.id
                self.values.drop(element, f"stage {step.id}: {call.record.why}")
                local.clear()
            for name in [name for name in local if name not in step.live_after]:
                del local[name]
        return local

    def _element_lookup(
        self, element: Element, local: Mapping[str, Any], causes: Mapping[str, str]
    ) -> Lookup:
        def lookup(name: str) -> Any:
            if name in local:
                return local[name]
            value = self.values.by_name.get(name, MISSING)
            if not isinstance(value, Series):
                if value is MISSING and name in causes:
                    raise Blocked(causes[name])
                return value
            found = self.values.matching(value, element)
            if len(found) > 1:
                raise Blocked(f"{len(found)} elements of {name!r} match {element.label}")
            if found and value.products[found[0]] is None:
                raise Absent(name)
            if not found and name in causes:
                raise Blocked(causes[name])
            return value.products[found[0]] if found else MISSING

        return lookup

    def _release(self, element: Element, live: frozenset[str]) -> None:
        """Let go of what nothing reads of an element any more."""
        for name, value in self.values.by_name.items():
            if isinstance(value, Series) and value.root == element.root and name not in live:
                value.products.pop(element.index, None)

    def _require_elements(self, root: str, record: StageRecord) -> None:
        """Stop the job when fewer elements are left than its input needs."""
        limits = {item.name: item.model.minimum for item in self.env.plan.inputs}
        minimum = limits.get(root) or 1
        left = len(self.values.remaining(root))
        if left >= minimum or self.stopped is not None:
            return
        if record.required and record.status in (Status.FAILED, Status.BLOCKED, Status.CAVEATS):
            record.status = Status.FAILED
            total = len(self.values.elements[root])
            first = next(iter(self.values.dropped[root].values()))
            record.why = f"{left} of {total} {root!r} left, needs {minimum}; {first}"
            failures = {call.failure for call in record.elements} - {Failure.NONE}
            record.failure = next(iter(sorted(failures)), Failure.ERROR)
            self.stopped = record

    # Records

    def _spooled(self, product: Any) -> Any:
        return None if product is None else self.spool.put(product)

    def _note_missing(self, step: Step, record: StageRecord, present: Mapping[str, Any]) -> None:
        for name in step.outputs.values():
            if not record.status.delivered and name not in present:
                self._causes[name] = _cause(step, record)

    def _stage_record(self, step: Step, call: CallRecord) -> StageRecord:
        parameters = {
            name: ParameterRecord(
                self.job.keys.get(value.value) if value.origin == "job key" else value.value,
                value.origin,
            )
            for name, value in step.parameters.items()
        }
        return StageRecord(
            **{name: getattr(call, name) for name in CallRecord.__slots__},
            id=step.id,
            use=step.use,
            distribution=step.distribution,
            version=step.version,
            required=step.required,
            parameters=parameters,
        )


def _cause(step: Step, record: CallRecord) -> str:
    """Return who did not deliver, passing on the first cause."""
    if record.status is Status.BLOCKED:
        return record.why
    return f"blocked by {step.id} ({record.status}: {record.why})"
