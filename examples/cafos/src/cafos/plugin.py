"""An unknown camera in TOML: what its files look like, and the shared stages in order."""

from __future__ import annotations

from csstcore.plugin import Definition, Pipeline, ReferenceRules, hookimpl


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return what goes in and what comes out."""
    return [
        Definition("raw", "definitions/raw.toml", "Raw frame of CAFOS"),
        Definition("image", "definitions/image.toml", "Calibrated image of CAFOS"),
        Definition("catalog", "definitions/catalog.toml", "Sources of a CAFOS image"),
    ]


@hookimpl
def csst_references() -> list[ReferenceRules]:
    """Return the readout geometry: one channel, no overscan."""
    return [ReferenceRules("calib.readout", "references/readout.toml", "the CAFOS window")]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the two masters and the science pipeline."""
    return [
        Pipeline("make_bias", "pipelines/make_bias.toml", "Make the master bias of CAFOS"),
        Pipeline("make_flat", "pipelines/make_flat.toml", "Make the dome flat of a filter"),
        Pipeline("science", "pipelines/science.toml", "Reduce a CAFOS frame to image and sources"),
    ]
