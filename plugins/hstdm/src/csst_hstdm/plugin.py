"""What csst-hstdm declares."""

from __future__ import annotations

from csstcore.plugin import (
    Definition,
    ReferenceRules,
    ReferenceType,
    Stage,
    hookimpl,
)


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return []


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the definitions of files and references."""
    return [
        Definition("l0", "definitions/l0.toml", "Dumps of the spectrometer in counts"),
        Definition("l1", "definitions/l1.toml", "Calibrated dumps of the spectrometer"),
        Definition(
            "sideband_gain",
            "definitions/sideband_gain.toml",
            "Gain of the signal sideband of every channel",
        ),
        Definition(
            "orbit", "definitions/orbit.toml", "Position and velocity of the telescope by time"
        ),
    ]


@hookimpl
def csst_references() -> list[ReferenceType | ReferenceRules]:
    """Return the kinds of references, and the numbers of the receiver."""
    return [
        ReferenceType(
            "receiver",
            "toml",
            "Receiver, spectrometer and telescope",
            product="csst_hstdm.receiver:Receiver",
        ),
        ReferenceType(
            "sideband_gain",
            "fits",
            "Gain of the signal sideband of every channel",
            definition="hstdm.sideband_gain",
        ),
        ReferenceType(
            "orbit",
            "fits",
            "Position and velocity of the telescope by time",
            definition="hstdm.orbit",
        ),
        ReferenceRules(
            "hstdm.receiver", "references/receiver.toml", "one proposed receiver for all data"
        ),
    ]
