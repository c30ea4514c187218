"""What csst-cpic declares."""

from __future__ import annotations

from csstcore.plugin import Definition, ReferenceRules, ReferenceType, Stage, hookimpl


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return []


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the data definitions."""
    return [
        Definition("l0", "definitions/l0.toml", "Series of raw EMCCD frames of the coronagraph"),
    ]


@hookimpl
def csst_references() -> list[ReferenceType | ReferenceRules]:
    """Return the reference types of this plugin's stages, and the references it ships."""
    return [
        ReferenceType(
            "detector",
            "toml",
            "Geometry and numbers of the camera",
            product="csst_cpic.detector:Detector",
        ),
        ReferenceRules("cpic.detector", "references/detector.toml", "the visible camera"),
        ReferenceRules(
            "calib.readout", "references/readout.toml", "the visible camera, one channel"
        ),
    ]
