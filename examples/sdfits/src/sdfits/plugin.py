"""What the example declares: a reader, two stages, two definitions, a pipeline."""

from __future__ import annotations

from csstcore.plugin import Definition, Pipeline, Reader, Stage, hookimpl


@hookimpl
def csst_readers() -> list[Reader]:
    """Return the reader of single-dish FITS files."""
    return [Reader("single_dish", "sdfits.reader:read", "Read a single-dish FITS table as spectra")]


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the two steps from dumps to a spectrum."""
    return [
        Stage(
            "calibrate_position_switch",
            "sdfits.position_switch:calibrate_position_switch",
            "Calibrate on-source against off-source dumps with the noise diode",
        ),
        Stage(
            "average_polarisations",
            "sdfits.position_switch:average_polarisations",
            "Average the polarisations of each frequency window",
        ),
    ]


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return what goes in and what comes out."""
    return [
        Definition("raw", "definitions/raw.toml", "Raw dumps of the Green Bank Telescope"),
        Definition("spectra", "definitions/spectra.toml", "Spectra as antenna temperature"),
    ]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the pipeline."""
    return [
        Pipeline(
            "position_switch",
            "pipelines/position_switch.toml",
            "Position-switched dumps to spectra in kelvin",
        )
    ]
