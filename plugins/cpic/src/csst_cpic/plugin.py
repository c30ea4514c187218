"""What csst-cpic declares."""

from __future__ import annotations

from csstcore.plugin import Definition, Reader, ReferenceRules, ReferenceType, Stage, hookimpl


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return []


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the data definitions."""
    return [
        Definition("l0", "definitions/l0.toml", "Series of raw EMCCD frames of the coronagraph"),
        Definition(
            "adi_cube",
            "definitions/adi_cube.toml",
            "Cube of frames of any telescope, for angular differential imaging",
        ),
        Definition(
            "adi_angles",
            "definitions/adi_angles.toml",
            "Angles of the frames of a cube, one number a frame in degrees",
        ),
        Definition(
            "adi_psf",
            "definitions/adi_psf.toml",
            "Image of the star without coronagraph, beside a cube of any telescope",
        ),
    ]


@hookimpl
def csst_readers() -> list[Reader]:
    """Return the readers of cubes of any telescope."""
    return [
        Reader(
            "adi_cube",
            "csst_cpic.adi_files:read_cube",
            "Read the frames of a cube, with the angles that are in the file",
        ),
        Reader(
            "adi_angles",
            "csst_cpic.adi_files:read_angles",
            "Read the angles of the frames of a cube from a file of their own",
        ),
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
