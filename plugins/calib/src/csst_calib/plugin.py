"""What csst-calib declares."""

from __future__ import annotations

from csstcore.plugin import ReferenceRules, ReferenceType, Stage, hookimpl


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return [
        Stage(
            "detect_cosmic_rays",
            "csst_calib.stages.cosmic_rays:detect_cosmic_rays",
            "Flag pixels hit by cosmic rays",
        ),
    ]


@hookimpl
def csst_references() -> list[ReferenceType | ReferenceRules]:
    """Return the reference types of this plugin's stages, and the references it ships."""
    return [
        ReferenceType(
            "cosmic_ray_model",
            kind="onnx",
            summary="network that tells cosmic rays from sources",
        ),
        ReferenceRules(
            "calib.cosmic_ray_model",
            "models/cosmic_ray_model.toml",
            "one network for any detector",
        ),
    ]
