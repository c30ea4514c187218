"""`LineList`: lines that may be found (reference type ``hstdm.line_list``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from csst_hstdm.doppler import LIGHT_KM_S


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
    """Lines that are further away from a transition than this, against the velocity of the source,
    are not named after it."""
    lines: list[Line]

    def candidates(self, frequency_hz: float, velocity_km_s: float) -> list[tuple[Line, float]]:
        """Return the transitions within reach and their velocities in km/s, the nearest first.

        Parameters
        ----------
        frequency_hz
            Observed, at the local standard of rest.
        velocity_km_s
            Of the source, radio convention.
        """
        found = [(line, LIGHT_KM_S * (1 - frequency_hz / line.frequency_hz)) for line in self.lines]
        near = [
            pair for pair in found if abs(pair[1] - velocity_km_s) <= self.largest_velocity_km_s
        ]
        return sorted(near, key=lambda pair: abs(pair[1] - velocity_km_s))
