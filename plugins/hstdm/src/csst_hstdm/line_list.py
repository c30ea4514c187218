"""`LineList`: lines that may be found (reference type ``hstdm.line_list``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Line:
    """A transition."""

    name: str
    frequency_hz: Annotated[float, Field(gt=0)]
    """At rest."""
    error_hz: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class LineList:
    """Transitions, and within which velocities they are expected."""

    source: str
    largest_velocity_km_s: Annotated[float, Field(gt=0)]
    """Lines found further away from a transition than this are not named after it."""
    lines: list[Line]

    def nearest(self, frequency_hz: float, velocity_km_s: float = 0.0) -> tuple[Line | None, float]:
        """Return the transition closest in velocity, and its velocity in km/s.

        Parameters
        ----------
        frequency_hz
            Observed, at the local standard of rest.
        velocity_km_s
            Of the source, radio convention.
        """
        best: tuple[Line | None, float] = (None, float("nan"))
        distance = self.largest_velocity_km_s
        for line in self.lines:
            velocity = 299792.458 * (1 - frequency_hz / line.frequency_hz)
            if abs(velocity - velocity_km_s) <= distance:
                best, distance = (line, velocity), abs(velocity - velocity_km_s)
        return best
