"""One call of a stage: what it returned, what it said, what it took, how it ended."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from csstcore.errors import CsstError, NotApplicable, UnprocessableData, text_of
from csstcore.notes import collecting
from csstcore.pipeline.plan import Step
from csstcore.run.memory import measuring
from csstcore.run.record import CallRecord
from csstcore.run.status import Failure, Status

logger = logging.getLogger("csstcore.run")


@dataclass(slots=True)
class Call:
    """The outcome of a call."""

    record: CallRecord
    outputs: dict[str, Any] = field(default_factory=dict)
    """By product name; empty unless delivered."""


def call_stage(step: Step, arguments: Mapping[str, Any], length: int | None = None) -> Call:
    """Call a stage and judge what comes back.

    Parameters
    ----------
    arguments
        Every argument by name.
    length
        Number of elements that a returned series must have.

    Returns
    -------
    Call
        Never raises for what the stage does: an unforeseen exception is a failure whose
        traceback is in the log.
    """
    record = CallRecord(Status.DONE)
    outputs: dict[str, Any] = {}
    with collecting() as notes, measuring() as usage:
        try:
            outputs = _outputs(step, _call(step, arguments), length)
        except NotApplicable as why:
            record.status, record.why = Status.SKIPPED, _text(why)
        except UnprocessableData as why:
            record.status, record.why = Status.FAILED, _text(why)
            record.failure = Failure.UNPROCESSABLE
        except CsstError as error:
            record.status, record.why, record.failure = Status.FAILED, _text(error), Failure.ERROR
        except MemoryError as error:
            record.status, record.failure = Status.FAILED, Failure.ERROR
            record.why = ": ".join(filter(None, ("out of memory", text_of(error))))
        except (Exception, SystemExit) as error:
            logger.exception("stage %s raised", step.id)
            record.status, record.failure = Status.FAILED, Failure.BUG
            record.why = f"{type(error).__name__}: {_text(error)}"
    if record.status is Status.DONE and notes.caveats:
        record.status = Status.CAVEATS
    record.caveats = list(dict.fromkeys(notes.caveats))
    record.metrics = dict(notes.metrics)
    record.ended = now()
    record.wall_s, record.cpu_s = usage.wall_s, usage.cpu_s
    record.peak_bytes = usage.peak_bytes
    return Call(record, outputs)


def generator(seed: int, job: str, stage: str, element: str) -> np.random.Generator:
    """Return a random stream that depends on these four and on nothing else."""
    text = json.dumps([seed, job, stage, element])
    entropy = int.from_bytes(hashlib.sha256(text.encode()).digest(), "little")
    return np.random.default_rng(np.random.SeedSequence(entropy))


def now() -> str:
    """Return the time (UTC) as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _call(step: Step, arguments: Mapping[str, Any]) -> Any:
    parameters = inspect.signature(step.function).parameters.values()
    first = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    rest = {name: value for name, value in arguments.items() if name not in first}
    return step.function(*(arguments[name] for name in first), **rest)


def _outputs(step: Step, returned: Any, length: int | None) -> dict[str, Any]:
    """Return what came back by product name.

    Raises
    ------
    TypeError
        If it is not what the stage's return annotation promises.
    """
    declared = step.signature.outputs
    values = returned if len(declared) > 1 else (returned,)
    if not isinstance(values, tuple) or len(values) != len(declared):
        raise TypeError(f"returned {_kind(returned)}; declared {len(declared)} products")
    outputs = {}
    for output, value in zip(declared, values, strict=True):
        if not output.series:
            elements = [value]
        elif isinstance(value, (list, tuple)):
            elements = list(value)
            if length is not None and len(elements) != length:
                raise TypeError(f"{output.name!r} has {len(elements)} elements, the input {length}")
        else:
            raise TypeError(f"{output.name!r} is {_kind(value)}; declared a series")
        for element in elements:
            if element is None and output.series and output.optional_elements:
                continue
            if not isinstance(element, output.type):
                raise TypeError(
                    f"{output.name!r} is {_kind(element)}; declared {output.type.__name__}"
                )
        outputs[step.outputs[output.name]] = elements if output.series else value
    return outputs


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _text(error: BaseException) -> str:
    return text_of(error).strip() or "no reason given"
