"""Write the outputs of a job: all beside their place first, then renamed together."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csstcore.definitions.checks import CheckResult
from csstcore.definitions.model import DefinitionModel
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product
from csstcore.errors import FileError
from csstcore.notes import collecting
from csstcore.pipeline.plan import PlanOutput
from csstcore.report import draw_figures, run_checks
from csstcore.run.call import now
from csstcore.run.environment import Environment
from csstcore.run.hashes import FileHash, hash_file
from csstcore.run.jobs import Job
from csstcore.run.reading import note_check
from csstcore.run.record import CallRecord, FigureRecord, JobRecord, StageRecord
from csstcore.run.stages import Stages
from csstcore.run.values import Element, Series, Values, agree


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that is written but not yet at its place."""

    output: str
    definition: str
    path: Path
    digest: Future[tuple[FileHash, float]]
    """Its hash, and the CPU time that took in seconds."""


@dataclass
class Writer:
    """Writes the products of one job into a staging folder."""

    env: Environment
    job: Job
    values: Values
    stages: Stages
    record: JobRecord
    staging: Path
    _names: dict[str, str] = field(default_factory=dict)
    """The names of the files written, and the input that each comes from."""
    _hashing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "sha256"))
    """Hashes a file while the next one is written."""

    def write(self) -> list[Staged]:
        """Write every output there is; why others are absent goes into the record.

        Raises
        ------
        FileError
            If a product does not fit its definition or the disk refuses it.
        """
        with self._hashing:
            return self._write_all()

    def _write_all(self) -> list[Staged]:
        staged: list[Staged] = []
        for output in self.env.plan.outputs:
            found = False
            for elements, products in self._parts(output):
                found = True
                for name in output.definitions:
                    staged += self._write(output, name, elements, products)
            if not found:
                self.record.not_written[output.name] = self._why_absent(output)
        return staged

    def _parts(self, output: PlanOutput) -> Iterator[tuple[list[Element], list[Any]]]:
        """Yield what belongs together: one product, or the frames that came from one file."""
        value = self.values.by_name.get(output.name)
        if value is None:
            return
        if not isinstance(value, Series):
            yield [], [value]
            return
        sources: dict[str, list[Element]] = {}
        for element in self.values.remaining(value.root):
            if value.products.get(element.index) is not None:
                sources.setdefault(element.source, []).append(element)
        for elements in sources.values():
            yield elements, [value.products[element.index] for element in elements]

    def _write(
        self, output: PlanOutput, name: str, elements: list[Element], products: list[Any]
    ) -> Iterator[Staged]:
        definition = self.env.definitions.get(name)
        parts = [(elements[i] if elements else None, item) for i, item in enumerate(products)]
        if any(hdu.split for hdu in definition.hdu):
            yield self._file(output, definition, parts)
            return
        for part in parts:
            yield self._file(output, definition, [part])

    def _file(
        self,
        output: PlanOutput,
        definition: DefinitionModel,
        parts: list[tuple[Element | None, Any]],
    ) -> Staged:
        """Write the file of one product or of several frames; figures are of the first."""
        sources = []
        for number, (element, product) in enumerate(parts):
            checks = self._quality(output, definition, element, product, draw=number == 0)
            sources.append(self._sources(element, checks))
        products = [product for _, product in parts]
        path = write_product(definition, products, sources, self.staging)
        source = parts[0][0].source if parts[0][0] else ""
        if path.name in self._names:
            raise FileError(
                f"output {output.name!r}: two files of this job would be called {path.name}: "
                f"{_why_same(self._names[path.name], source, definition)}"
            )
        self._names[path.name] = source
        digest = self._hashing.submit(_hash, path)
        return Staged(output.name, definition.full_name, path, digest)

    def _quality(
        self,
        output: PlanOutput,
        definition: DefinitionModel,
        element: Element | None,
        product: Any,
        *,
        draw: bool,
    ) -> dict[str, CheckResult]:
        """Make the checks of written products (QC1), and draw the figures."""
        label = element.label if element else ""
        results = run_checks(definition, product, "written", self.env.registry)
        for result in results:
            note_check(self.record, result, "written", output.name, label)
        if draw and self.env.setup.figures:
            self._draw(output, definition, element, product)
        return {result.id: result for result in results}

    def _draw(
        self,
        output: PlanOutput,
        definition: DefinitionModel,
        element: Element | None,
        product: Any,
    ) -> None:
        """Draw the figures of a product into the run folder."""
        folder = self.env.setup.run_folder / "figures" / self.job.id
        label = ""
        if element:
            folder, label = folder / str(element.index), element.label
        with collecting() as notes:
            paths = draw_figures(definition, product, self.env.registry, folder)
        self.record.caveats += notes.caveats
        for path in paths:
            relative = path.relative_to(self.env.setup.run_folder).as_posix()
            self.record.figures.append(FigureRecord(path.stem, output.name, relative, label))

    def _sources(self, element: Element | None, checks: dict[str, CheckResult]) -> Sources:
        """Gather what keywords may take their values from, for one product."""
        calls = {stage.id: self._call_of(stage, element) for stage in self.stages.records}
        metrics: dict[str, Any] = {}
        references: dict[str, str] = {}
        for step in self.env.plan.steps:
            call = calls[step.id]
            metrics |= call.metrics
            for parameter, file in call.references.items():
                binding = step.bindings[parameter]
                references[parameter] = file
                if binding.kind == "reference":
                    references[binding.name] = file
        return Sources(
            headers={
                name: _matching(elements, element).header
                for name, elements in self.values.elements.items()
                if elements
            },
            keys={**self.job.keys, **(element.keys if element else {})},
            statuses={name: call.status for name, call in calls.items()},
            times={name: call.ended for name, call in calls.items() if call.status.delivered},
            references=references,
            metrics=metrics,
            checks={**self._checks_as_read(element), **checks},
            record={
                "run": self.env.setup.run,
                "pipeline": self.env.plan.name,
                "context": self.env.context,
                "job": self.job.id,
                "date": now(),
            },
            versions=self.env.versions,
        )

    def _call_of(self, stage: StageRecord, element: Element | None) -> CallRecord:
        """Return the call on an element, or on the one of another input that belongs to it.

        Without one it is the stage as a whole.
        """
        if element is None or not stage.elements:
            return stage
        root = stage.elements[0].input
        partner = self.values.partners(element.root, root, self.job.keys).get(element.index)
        index = partner.index if partner is not None else None
        return next((call for call in stage.elements if call.index == index), stage)

    def _checks_as_read(self, element: Element | None) -> dict[str, CheckResult]:
        """Return the checks of the input (QC0), those that were made once for this product."""
        read = [check for check in self.record.checks if check.when == "read"]
        made = [
            c
            for c in read
            if element is None or (c.product, c.element) == (element.root, element.label)
        ]
        times = Counter(check.id for check in made)
        return {
            c.id: CheckResult(c.id, c.use, c.value, c.minimum, c.maximum, c.ok, c.why)
            for c in made
            if times[c.id] == 1
        }

    def _why_absent(self, output: PlanOutput) -> str:
        for step, stage in zip(self.env.plan.steps, self.stages.records, strict=True):
            if output.name in step.outputs.values() and not stage.status.delivered:
                return f"stage {stage.id} {stage.status}: {stage.why}"
        return "no stage gave one"


def _why_same(first: str, second: str, definition: DefinitionModel) -> str:
    """Say why the products of two inputs, or of one if they are the same, have one name."""
    needed = f"the file name of {definition.full_name} needs a field that tells them apart"
    if not second or first == second:
        return needed
    return f"{first} and {second} are copies or versions of one file: give one; or else {needed}"


def _hash(path: Path) -> tuple[FileHash, float]:
    start = time.thread_time()
    return hash_file(path), time.thread_time() - start


def commit(staged: list[Staged], folder: Path) -> list[Path]:
    """Rename staged files to their place, and remove what an earlier run of the job left.

    The folder belongs to the job alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in staged:
        path = folder / file.path.name
        file.path.replace(path)
        paths.append(path)
    for old in folder.iterdir():
        if old not in paths and old.is_file():
            old.unlink()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return paths


def _matching(elements: list[Element], element: Element | None) -> Element:
    if element is not None:
        for other in elements:
            same = other.root == element.root and other.index == element.index
            if same or (other.root != element.root and agree(other.keys, element.keys)):
                return other
    return elements[0]
