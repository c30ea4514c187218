"""What csst-msc declares."""

from __future__ import annotations

from csstcore.plugin import Check, Definition, Layout, ReferenceRules, ReferenceType, hookimpl


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the definitions of survey-camera files."""
    return [
        Definition("l0", "definitions/l0.toml", "Raw frame of one detector of the survey camera"),
        Definition(
            "assembled",
            "definitions/assembled.toml",
            "Active area of a raw frame, channels assembled",
        ),
        Definition("l1_image", "definitions/l1_image.toml", "Calibrated image of one detector"),
        Definition("l1_weight", "definitions/l1_weight.toml", "Weights of a calibrated image"),
        Definition("l1_flags", "definitions/l1_flags.toml", "Flags of a calibrated image"),
        Definition("l1_catalog", "definitions/l1_catalog.toml", "Sources of a calibrated image"),
        Definition(
            "l1_psf",
            "definitions/l1_psf.toml",
            "Point-spread function of a calibrated image, as PSFEx writes it",
        ),
        Definition(
            "l1_models",
            "definitions/l1_models.toml",
            "Galaxy models of the sources of a calibrated image",
        ),
        Definition(
            "l1_head",
            "definitions/l1_head.toml",
            "World coordinates of one detector, refined with those of its exposure",
        ),
    ]


@hookimpl
def csst_references() -> list[ReferenceType | ReferenceRules]:
    """Return the detector table, and the readout geometry that overscan subtraction asks for."""
    return [
        ReferenceType(
            "detectors",
            "toml",
            "Detectors, filters and focal plane of the survey camera",
            product="csst_msc.detectors:DetectorTable",
        ),
        ReferenceRules(
            "msc.detectors", "references/detectors.toml", "The 30 detectors of the survey camera"
        ),
        ReferenceRules(
            "calib.readout",
            "references/readout.toml",
            "Raw frames of the survey camera: 9560 x 9264, and 920 x 608 for tests",
        ),
        ReferenceRules(
            "calib.cosmic_ray_model",
            "references/cosmic_ray_model.toml",
            "Networks that find cosmic rays, for the imaging detectors of each filter",
        ),
        ReferenceRules(
            "imaging.stray_light",
            "references/stray_light.toml",
            "Ghosts and scattered light of the survey camera, proposed",
        ),
        ReferenceRules(
            "imaging.passbands",
            "references/passbands.toml",
            "The seven filters of the survey camera",
        ),
    ]


@hookimpl
def csst_checks() -> list[Check]:
    """Return the checks of raw frames."""
    return [
        Check(
            "saturated_fraction",
            "csst_msc.checks:saturated_fraction",
            "Fraction of the pixels at the limit of the converter, 65535 adu",
        ),
        Check(
            "zero_fraction",
            "csst_msc.checks:zero_fraction",
            "Fraction of the pixels that are zero: a dead channel or detector, or lost data",
        ),
        Check(
            "raw_level",
            "csst_msc.checks:raw_level",
            "Median of a sample of the raw frame, in adu",
        ),
    ]


@hookimpl
def csst_figures() -> list[Layout]:
    """Return the focal plane, in which reports show the detectors."""
    return [
        Layout("focal_plane", "layouts/focal_plane.toml", "The 30 detectors in the focal plane")
    ]
