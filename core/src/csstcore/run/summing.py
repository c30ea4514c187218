"""From the calls of a stage on each element to the status of the stage."""

from __future__ import annotations

from collections.abc import Sequence

from csstcore.run.record import CallRecord
from csstcore.run.status import Failure, Status


def sum_up(calls: Sequence[CallRecord]) -> CallRecord:
    """Return one record for all calls of a mapped stage.

    It is done if every element is, or had nothing to be done; done with caveats if only some
    are; and otherwise what most elements are. Metrics are kept where there is one element only.
    """
    if not calls:
        return CallRecord(Status.BLOCKED, why="no element is left")
    statuses = [call.status for call in calls]
    delivered = [status for status in statuses if status.delivered]
    total = CallRecord(_status(statuses, delivered))
    others = [call for call in calls if not call.status.delivered]
    if others and len(calls) == 1:
        total.why = others[0].why
    elif others:
        first = others[0]
        total.why = (
            f"{len(others)} of {len(calls)} elements not delivered; "
            f"{first.element}: {first.status}: {first.why}"
        )
    lost = [call for call in others if call.status is not Status.SKIPPED]
    failures = [call.failure for call in calls if call.failure is not Failure.NONE]
    total.failure = failures[0] if failures and not delivered else Failure.NONE
    total.caveats = list(dict.fromkeys(caveat for call in calls for caveat in call.caveats))
    if delivered and lost:
        total.caveats.append(total.why)
    if len(calls) == 1:
        total.metrics = dict(calls[0].metrics)
    for call in calls:
        total.references |= {
            name: file
            if total.references.get(name, file) == file
            else f"{total.references[name]}, {file}"
            for name, file in call.references.items()
        }
    total.ended = max(call.ended for call in calls)
    total.wall_s = sum(call.wall_s for call in calls)
    total.cpu_s = sum(call.cpu_s for call in calls)
    total.peak_bytes = max(call.peak_bytes for call in calls)
    return total


def _status(statuses: Sequence[Status], delivered: Sequence[Status]) -> Status:
    if delivered and len(delivered) + statuses.count(Status.SKIPPED) == len(statuses):
        return Status.CAVEATS if Status.CAVEATS in statuses else Status.DONE
    if delivered:
        return Status.CAVEATS
    if Status.FAILED in statuses:
        return Status.FAILED
    return max(set(statuses), key=statuses.count)
