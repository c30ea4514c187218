"""Running the quality checks of a definition on a product."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from csstcore.definitions.checks import CheckResult
from csstcore.errors import CsstError, NotApplicable
from csstcore.plugin import Check
from csstcore.plugins.importing import load

if TYPE_CHECKING:
    from csstcore.definitions.model import CheckModel, DefinitionModel
    from csstcore.plugins.registry import Registry


def run_checks(
    definition: DefinitionModel,
    product: Any,
    when: Literal["read", "written"],
    registry: Registry,
) -> list[CheckResult]:
    """Run the checks of a definition on a product.

    Parameters
    ----------
    definition
        Names the checks and gives their limits.
    product
        What the definition describes; the checks do not change it.
    when
        ``"read"`` for the checks of inputs (QC0), ``"written"`` for those of outputs (QC1).
    registry
        The plugins that declare the checks.

    Returns
    -------
    list
        One result per check, in the order of the definition. A check that raises is not ok, and
        says why; one that raises `NotApplicable` is ok without a value.
    """
    return [_run(check, product, registry) for check in definition.check if check.when == when]


def _run(check: CheckModel, product: Any, registry: Registry) -> CheckResult:
    value: float | None = None
    ok = False
    try:
        measured = load(registry.get(Check, check.use).declaration.target)(product)
        value = float(measured)
        why = _outside(value, check.minimum, check.maximum)
        ok = not why
    except NotApplicable as reason:
        ok, why = True, str(reason)
    except CsstError as error:
        why = str(error)
    except (Exception, SystemExit) as error:  # a broken check must not take the job with it
        why = f"the check raised {type(error).__name__}: {error}"
    if value is not None and not math.isfinite(value):
        value = None  # neither JSON nor a header can hold it
    return CheckResult(check.id, check.use, value, check.minimum, check.maximum, ok, why)


def _outside(value: float, minimum: float | None, maximum: float | None) -> str:
    """Return how a value misses its limits; nothing if it does not."""
    if not math.isfinite(value):
        return f"the value is {value}"
    if minimum is not None and value < minimum:
        return f"{value:.6g} is below the minimum {minimum:.6g}"
    if maximum is not None and value > maximum:
        return f"{value:.6g} is above the maximum {maximum:.6g}"
    return ""
