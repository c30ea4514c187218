"""Call a stage of a job: gather its arguments, and hand over what it changes in place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from csstcore.errors import CsstError
from csstcore.pipeline.parameters import call_parameters
from csstcore.pipeline.plan import Step
from csstcore.products.planes import own
from csstcore.run.call import Call, call_stage, generator, now
from csstcore.run.chosen import NONE, Chosen
from csstcore.run.environment import Environment
from csstcore.run.jobs import Job
from csstcore.run.logs import JobLog
from csstcore.run.record import CallRecord
from csstcore.run.status import Failure, Status
from csstcore.run.values import Element, Series, Values

logger = logging.getLogger("csstcore.run")

Lookup = Callable[[str], Any]
"""Gives the product of a name, or `MISSING`."""

MISSING: Final[Any] = object()


class Blocked(Exception):
    """An argument of a stage does not exist; the message says by whom."""


class Absent(Exception):
    """An element has no product for this stage, because an earlier one gave None."""


@dataclass
class Caller:
    """Calls the stages of one job."""

    env: Environment
    job: Job
    values: Values
    chosen: Chosen
    observed: Mapping[str, str]
    """By stage, the input whose elements choose its references."""
    causes: Mapping[str, str]
    """By product, who did not deliver it."""
    log: JobLog | None

    def call(
        self,
        step: Step,
        element: Element | None,
        lookup: Lookup,
        driver: Sequence[Element],
        local: dict[str, Any],
    ) -> Call:
        """Gather the arguments of a stage, call it, and put back what it did not use up."""
        label = element.label if element else ""
        if self.log is not None:
            self.log.where = {"stage": step.id, **({"element": label} if label else {})}
        used: dict[str, str] = {}
        self.env.release_references(
            [b.name for b in step.bindings.values() if b.kind == "reference"]
        )
        try:
            arguments = self._products(step, lookup)
            arguments |= self._references(step, driver, lookup, used)
            arguments |= call_parameters(step, self.job.keys)
        except Blocked as blocked:
            return Call(CallRecord(Status.BLOCKED, label, str(blocked), ended=now()))
        except Absent as absent:
            why = f"no product {absent.args[0]!r} for this element"
            return Call(CallRecord(Status.SKIPPED, label, why, ended=now()))
        except CsstError as error:
            record = CallRecord(Status.FAILED, label, str(error), Failure.ERROR, ended=now())
            return Call(record)
        if step.signature.generator:
            stream = generator(self.env.setup.seed, self.job.id, step.id, label)
            arguments[step.signature.generator] = stream
        handed = self._hand_over(step, element, arguments, local)
        logger.info("started")
        follows = any(item.series for item in step.signature.inputs)
        call = call_stage(step, arguments, len(driver) if follows else None)
        call.record.element = label
        call.record.references = used
        if not call.record.status.delivered:
            for name, product in handed.items():
                self._put_back(name, product, element, local)
        return call

    def _products(self, step: Step, lookup: Lookup) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for item in step.signature.inputs:
            binding = step.bindings[item.name]
            try:
                value = lookup(binding.name) if binding.kind == "product" else MISSING
            except (Blocked, Absent):
                if not item.optional:
                    raise
                value = MISSING
            if value is MISSING and not item.optional:
                raise Blocked(self.causes.get(binding.name, f"there is no {binding.name!r}"))
            if value is MISSING:
                value = None
            elif item.series and not isinstance(value, list):
                value = [value]
            arguments[item.name] = value
        return arguments

    def _references(
        self, step: Step, driver: Sequence[Element], lookup: Lookup, used: dict[str, str]
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        root = self.observed[step.id]
        for item in step.signature.references:
            binding = step.bindings[item.name]
            if binding.kind != "reference":
                value = lookup(binding.name)
                if value is MISSING and not item.optional:
                    raise Blocked(self.causes.get(binding.name, f"there is no {binding.name!r}"))
                arguments[item.name] = None if value is MISSING else value
                used[item.name] = f"product {binding.name}" if value is not MISSING else NONE
                continue
            observed = [e for e in driver if e.root == root] or self.values.remaining(root)
            choices = {
                choice.sha256 if choice else NONE: choice
                for choice in (
                    self.chosen.by_element.get((binding.name, root, e.index)) for e in observed
                )
            }
            if len(choices) > 1:
                names = ", ".join(sorted(c.name if c else NONE for c in choices.values()))
                raise CsstError(
                    f"reference {binding.name}: the elements of {root!r} choose different files: "
                    f"{names}"
                )
            choice = next(iter(choices.values()), None)
            arguments[item.name] = self.env.reference(choice, item.type) if choice else None
            used[item.name] = choice.name if choice else NONE
        return arguments

    def _hand_over(
        self, step: Step, element: Element | None, arguments: dict[str, Any], local: dict[str, Any]
    ) -> dict[str, Any]:
        """Make what the stage changes in place its own, copying what others still need.

        Returns
        -------
        dict
            The products handed over, by name: nothing else holds them any more.
        """
        handed: dict[str, Any] = {}
        replaced = frozenset(step.outputs.values())
        needed = step.live_after - replaced
        for item in step.signature.inputs:
            if not item.in_place:
                continue
            name = step.bindings[item.name].name
            others = [value for key, value in arguments.items() if key != item.name]
            others += self._still_needed(element, needed, local)
            arguments[item.name] = own(arguments[item.name], others)
            if name not in needed:
                handed[name] = arguments[item.name]
                self._forget(name, element, local)
        return handed

    def _still_needed(
        self, element: Element | None, needed: frozenset[str], local: Mapping[str, Any]
    ) -> list[Any]:
        """Return every product that is read after this call, other elements' footprints too."""
        others = [*self.env.kept_references()]
        others += [product for name, product in local.items() if name in needed]
        for name, value in self.values.by_name.items():
            if not isinstance(value, Series):
                if element is not None or name in needed:
                    others.append(value)
                continue
            for index, held in list(value.footprints()):
                mine = element and value.root == element.root and index == element.index
                if name in needed if mine or not element else True:
                    others.append(held)
        return others

    def _forget(self, name: str, element: Element | None, local: dict[str, Any]) -> None:
        local.pop(name, None)
        value = self.values.by_name.get(name)
        if isinstance(value, Series):
            if element is not None and value.root == element.root:
                value.products.pop(element.index, None)
        elif element is None:
            self.values.by_name.pop(name, None)

    def _put_back(
        self, name: str, product: Any, element: Element | None, local: dict[str, Any]
    ) -> None:
        if element is None:
            self.values.by_name[name] = product
        else:
            local[name] = product
