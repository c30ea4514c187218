"""What csst-calib declares."""

from __future__ import annotations

from csstcore.plugin import (
    Check,
    Definition,
    Figure,
    Pipeline,
    ReferenceRules,
    ReferenceType,
    Stage,
    hookimpl,
)

_CHANNEL_CHECKS = "csst_calib.checks_of_channels"


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages."""
    return [
        Stage(
            "subtract_overscan",
            "csst_calib.stages.overscan:subtract_overscan",
            "Subtract the overscan level of every channel and assemble the active area",
        ),
        Stage(
            "apply_gain",
            "csst_calib.stages.gain:apply_gain",
            "Convert an image from adu to electrons with the gain of each channel",
        ),
        Stage(
            "subtract_bias",
            "csst_calib.stages.bias:subtract_bias",
            "Subtract the master bias from an overscan-corrected image",
        ),
        Stage(
            "correct_nonlinearity",
            "csst_calib.stages.nonlinearity:correct_nonlinearity",
            "Correct the non-linear response of every channel",
        ),
        Stage(
            "correct_cti",
            "csst_calib.stages.cti:correct_cti",
            "Put charge that traps delayed back into the pixels it came from",
        ),
        Stage(
            "subtract_dark",
            "csst_calib.stages.dark:subtract_dark",
            "Subtract the dark current accumulated during the exposure",
        ),
        Stage(
            "estimate_variance",
            "csst_calib.stages.variance:estimate_variance",
            "Add read noise and photon noise to the variance",
        ),
        Stage(
            "correct_shutter",
            "csst_calib.stages.shutter:correct_shutter",
            "Scale every pixel to the nominal exposure time",
        ),
        Stage("divide_flat", "csst_calib.stages.flat:divide_flat", "Divide by the flat field"),
        Stage(
            "flag_bad_pixels",
            "csst_calib.stages.bad_pixels:flag_bad_pixels",
            "Flag as ``bad`` the pixels whose response is far from the detector's",
        ),
        Stage(
            "flag_hot_pixels",
            "csst_calib.stages.bad_pixels:flag_hot_pixels",
            "Flag pixels as ``hot`` or ``warm`` by the dark charge of this exposure",
        ),
        Stage(
            "flag_saturation",
            "csst_calib.stages.saturation:flag_saturation",
            "Flag as ``saturated`` full pixels and the columns of charge that bled from them",
        ),
        Stage(
            "detect_cosmic_rays",
            "csst_calib.stages.cosmic_rays:detect_cosmic_rays",
            "Flag pixels hit by cosmic rays",
        ),
        Stage(
            "flag_trails",
            "csst_calib.stages.trails:flag_trails",
            "Flag as ``trail`` the trails of satellites and other objects that cross the frame",
        ),
        Stage(
            "fill_flagged",
            "csst_calib.stages.fill:fill_flagged",
            "Replace flagged pixels by what their neighbours tell, for detection and photometry",
        ),
        Stage(
            "to_rate",
            "csst_calib.stages.rate:to_rate",
            "Convert an image from electrons to electrons per second",
        ),
        Stage(
            "combine",
            "csst_calib.stages.combine:combine",
            "Combine frames by the mean of what is left after median and MAD clipping",
        ),
        Stage(
            "normalise_flat",
            "csst_calib.stages.normalise_flat:normalise_flat",
            "Scale a flat-field frame to unit mean, with or without the lamp's illumination",
        ),
        Stage(
            "measure_gain",
            "csst_calib.stages.measure_gain:measure_gain",
            "Measure gain and read noise of every channel by photon transfer",
        ),
        Stage(
            "measure_ptc",
            "csst_calib.stages.measure_ptc:measure_ptc",
            "Measure the photon transfer curve of every channel, its gain and its read noise",
        ),
        Stage(
            "draw_gain_image",
            "csst_calib.stages.gain_image:draw_gain_image",
            "Spread the gains of the channels over the pixels of an image",
        ),
        Stage(
            "measure_dark",
            "csst_calib.stages.measure_dark:measure_dark",
            "Measure the dark current of every pixel from frames of one or several exposure times",
        ),
        Stage(
            "measure_shutter",
            "csst_calib.stages.measure_shutter:measure_shutter",
            "Measure the exposure-time offset of every pixel from short and long flats",
        ),
        Stage(
            "find_bad_pixels",
            "csst_calib.stages.find_bad_pixels:find_bad_pixels",
            "Find pixels that are bad in every exposure",
        ),
        Stage(
            "measure_nonlinearity",
            "csst_calib.stages.measure_nonlinearity:measure_nonlinearity",
            "Measure the non-linearity of every channel from flats of a constant lamp",
        ),
        Stage(
            "assemble",
            "csst_calib.stages.assemble:assemble",
            "Assemble the active pixels of all channels of a raw frame",
        ),
        Stage(
            "disassemble",
            "csst_calib.stages.assemble:disassemble",
            "Lay an assembled image out as a raw frame of 16 channels",
        ),
        Stage(
            "measure_cti",
            "csst_calib.stages.measure_cti:measure_cti",
            "Measure the traps of every channel by their trails in the overscan",
        ),
    ]


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the definitions of calibration references."""
    return [
        Definition("bias", "definitions/bias.toml", "Master bias"),
        Definition("dark", "definitions/dark.toml", "Master dark rate"),
        Definition("flat", "definitions/flat.toml", "Flat field with unit mean"),
        Definition("ptc", "definitions/ptc.toml", "Photon transfer curve of every channel"),
        Definition("gain_image", "definitions/gain_image.toml", "Gain of every pixel"),
        Definition(
            "bad_pixels", "definitions/bad_pixels.toml", "Pixels that are bad in every exposure"
        ),
        Definition("gain", "definitions/gain.toml", "Gain and read noise of every channel"),
        Definition(
            "nonlinearity", "definitions/nonlinearity.toml", "Non-linearity of every channel"
        ),
        Definition("cti", "definitions/cti.toml", "Charge traps of every channel"),
        Definition("shutter", "definitions/shutter.toml", "Exposure-time offset of every pixel"),
    ]


@hookimpl
def csst_references() -> list[ReferenceType | ReferenceRules]:
    """Return the reference types of this plugin's stages, and the references it ships."""
    return [
        ReferenceType(
            "readout", "toml", "Geometry of a raw frame", product="csst_calib.readout:Readout"
        ),
        ReferenceType("bias", "fits", "Master bias in electrons", definition="calib.bias"),
        ReferenceType("dark", "fits", "Dark rate in electrons per second", definition="calib.dark"),
        ReferenceType("flat", "fits", "Flat field with unit mean", definition="calib.flat"),
        ReferenceType(
            "gain", "fits", "Gain and read noise of every channel", definition="calib.gain"
        ),
        ReferenceType(
            "nonlinearity", "fits", "Polynomial of every channel", definition="calib.nonlinearity"
        ),
        ReferenceType("cti", "fits", "Charge traps of every channel", definition="calib.cti"),
        ReferenceType("bad_pixels", "fits", "Mask of bad pixels", definition="calib.bad_pixels"),
        ReferenceType(
            "shutter", "fits", "Exposure-time offset in seconds", definition="calib.shutter"
        ),
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


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the pipelines that make references."""
    return [
        Pipeline("make_bias", "pipelines/make_bias.toml", "Make the master bias of a detector"),
        Pipeline("make_dark", "pipelines/make_dark.toml", "Make the dark rate of a detector"),
        Pipeline("make_flat", "pipelines/make_flat.toml", "Make the flat field of a detector"),
        Pipeline(
            "make_gain", "pipelines/make_gain.toml", "Measure gain and read noise of a detector"
        ),
        Pipeline(
            "make_ptc",
            "pipelines/make_ptc.toml",
            "Measure the photon transfer curve, gain and read noise of a detector",
        ),
        Pipeline(
            "make_shutter",
            "pipelines/make_shutter.toml",
            "Measure the exposure-time offset of every pixel of a detector",
        ),
        Pipeline(
            "make_bad_pixels",
            "pipelines/make_bad_pixels.toml",
            "Find the bad pixels of a detector from its flat, dark and dark frames",
        ),
        Pipeline(
            "make_nonlinearity",
            "pipelines/make_nonlinearity.toml",
            "Measure the non-linearity of a detector",
        ),
        Pipeline("make_cti", "pipelines/make_cti.toml", "Measure the charge traps of a detector"),
        Pipeline(
            "assemble",
            "pipelines/assemble.toml",
            "Assemble the channels of raw frames, without their overscan",
        ),
        Pipeline(
            "disassemble",
            "pipelines/disassemble.toml",
            "Lay assembled images out as raw frames of 16 channels",
        ),
    ]


@hookimpl
def csst_checks() -> list[Check]:
    """Return the quality checks."""
    return [
        Check("level", "csst_calib.checks:level", "Median of the unflagged pixels"),
        Check(
            "scatter",
            "csst_calib.checks:scatter",
            "Scatter of the unflagged pixels from their median absolute deviation",
        ),
        Check(
            "flagged_fraction",
            "csst_calib.checks:flagged_fraction",
            "Fraction of the pixels with any flag",
        ),
        Check(
            "cosmic_ray_fraction",
            "csst_calib.checks:cosmic_ray_fraction",
            "Fraction of the pixels flagged as cosmic rays",
        ),
        Check(
            "saturated_fraction",
            "csst_calib.checks:saturated_fraction",
            "Fraction of the pixels flagged as saturated",
        ),
        Check(
            "bad_fraction",
            "csst_calib.checks:bad_fraction",
            "Fraction of the pixels flagged as bad",
        ),
        Check(
            "largest_gain_error",
            f"{_CHANNEL_CHECKS}:largest_gain_error",
            "Largest relative error of a channel's gain",
        ),
        Check(
            "largest_read_noise",
            f"{_CHANNEL_CHECKS}:largest_read_noise",
            "Largest read noise of a channel in electrons",
        ),
        Check(
            "largest_residual",
            f"{_CHANNEL_CHECKS}:largest_residual",
            "Largest relative deviation from linearity that is left",
        ),
        Check(
            "largest_chi_square",
            f"{_CHANNEL_CHECKS}:largest_chi_square",
            "Largest reduced chi-square of a channel's photon transfer curve",
        ),
        Check(
            "smallest_full_well",
            f"{_CHANNEL_CHECKS}:smallest_full_well",
            "Smallest full well of a channel in electrons",
        ),
        Check(
            "error_ratio",
            "csst_calib.checks:error_ratio",
            "Scatter of the unflagged pixels over their median error; 1 if noise is all there is",
        ),
        Check(
            "parallel_trail_residual",
            "csst_calib.cti_quality:parallel_trail_residual",
            "Part of the parallel trail, in the mean of all channels, that the fit leaves",
        ),
        Check(
            "serial_trail_residual",
            "csst_calib.cti_quality:serial_trail_residual",
            "Part of the serial trail, in the mean of all channels, that the fit leaves",
        ),
    ]


@hookimpl
def csst_figures() -> list[Figure]:
    """Return the figures."""
    return [
        Figure(
            "image_with_flags",
            "csst_calib.figures:image_with_flags",
            "Image at reduced size beside its flagged pixels",
        ),
        Figure(
            "histogram",
            "csst_calib.figures:histogram",
            "Histogram of the unflagged pixels, with the expected noise where it is known",
        ),
        Figure(
            "transfer_curves",
            "csst_calib.figures_ptc:transfer_curves",
            "Variance over mean of every channel with the fitted models",
        ),
        Figure(
            "transfer_residuals",
            "csst_calib.figures_ptc:transfer_residuals",
            "Measured over fitted variance of every channel",
        ),
        Figure(
            "area_changes",
            "csst_calib.figures_ptc:area_changes",
            "Mean over the channels of the changes of a pixel's area by its neighbours' charge",
        ),
        Figure(
            "nonlinearity_curves",
            "csst_calib.figures_ptc:nonlinearity_curves",
            "Relative correction of every channel up to its largest signal",
        ),
        Figure(
            "gains",
            "csst_calib.figures:gains",
            "Gain and read noise of every channel with their errors",
        ),
        Figure(
            "trails",
            "csst_calib.cti_quality:trails",
            "Trails behind flat fields with the fitted ones, and traps by channel",
        ),
    ]
