"""What csst-hstdm declares."""

from __future__ import annotations

from csstcore.plugin import (
    Definition,
    Pipeline,
    Reader,
    ReferenceRules,
    ReferenceType,
    Stage,
    hookimpl,
)

_STAGES = "csst_hstdm.stages"


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return [
        Stage(
            "calibrate_noise_diode",
            f"{_STAGES}.position_switch:calibrate_noise_diode",
            "Calibrate ON against OFF dumps with the noise diode",
        ),
    ]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the pipelines."""
    return [
        Pipeline(
            "gbt_position_switch",
            "pipelines/gbt_position_switch.toml",
            "Calibrate position-switched dumps of the Green Bank Telescope",
        ),
    ]


@hookimpl
def csst_readers() -> list[Reader]:
    """Return the reader of single-dish FITS files."""
    return [
        Reader(
            "single_dish",
            "csst_hstdm.single_dish:read",
            "Read single-dish FITS of the Green Bank Telescope",
        )
    ]


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
        Definition("sdfits", "definitions/sdfits.toml", "Raw dumps of the Green Bank Telescope"),
        Definition(
            "switched",
            "definitions/switched.toml",
            "Position-switched spectra as antenna temperature",
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
