"""What csst-cpic declares."""

from __future__ import annotations

from csstcore.plugin import (
    Check,
    Definition,
    Figure,
    Pipeline,
    Reader,
    ReferenceRules,
    ReferenceType,
    Stage,
    hookimpl,
)

_LEVEL_1_CHECKS = "csst_cpic.checks_level1"
_LEVEL_2_CHECKS = "csst_cpic.checks_level2"
_CALIBRATION_CHECKS = "csst_cpic.checks_calibration"
_CALIBRATION_FIGURES = "csst_cpic.figures_calibration"


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return [
        Stage(
            "check_series",
            "csst_cpic.stages.series:check_series",
            "Check that frames are one series, and leave out those that hold nothing",
        ),
        Stage(
            "flag_saturation",
            "csst_cpic.stages.saturation:flag_saturation",
            "Flag as ``saturated`` the raw pixels at the limit of pixel, register or converter",
        ),
        Stage(
            "flag_blooming",
            "csst_cpic.stages.saturation:flag_blooming",
            "Flag as ``saturated`` the pixels that took the rest of what saturated ones spilled",
        ),
        Stage(
            "subtract_bias_level",
            "csst_cpic.stages.bias_level:subtract_bias_level",
            "Subtract the bias level of every row and keep the data section",
        ),
        Stage(
            "correct_nonlinearity",
            "csst_cpic.stages.nonlinearity:correct_nonlinearity",
            "Correct the non-linear response of the amplifier",
        ),
        Stage(
            "to_electrons",
            "csst_cpic.stages.electrons:to_electrons",
            "Convert an image from adu to electrons before multiplication",
        ),
        Stage(
            "correct_cte",
            "csst_cpic.stages.cte:correct_cte",
            "Put charge that transfers left behind back into the pixels it came from",
        ),
        Stage(
            "check_set",
            "csst_cpic.stages.calibration_set:check_set",
            "Check that frames make one calibration set, and leave out those that hold nothing",
        ),
        Stage(
            "measure_em_gain",
            "csst_cpic.stages.measure_em_gain:measure_em_gain",
            "Measure the EM gain of every commanded one from flats of two levels or more",
        ),
        Stage(
            "fit_dark_and_cic",
            "csst_cpic.stages.fit_dark_and_cic:fit_dark_and_cic",
            "Fit dark current and clock-induced charge to every pixel of dark frames",
        ),
        Stage(
            "find_hot_pixels",
            "csst_cpic.stages.find_hot_pixels:find_hot_pixels",
            "Find pixels that are hot or warm by their dark rate",
        ),
        Stage(
            "measure_cti",
            "csst_cpic.stages.measure_cti:measure_cti",
            "Measure the charge-transfer inefficiency by extended-pixel-edge response",
        ),
        Stage(
            "measure_linearity",
            "csst_cpic.stages.measure_linearity:measure_linearity",
            "Measure the relative gain of counts at every EM gain from flats of a constant lamp",
        ),
        Stage(
            "flag_bad_pixels",
            "csst_cpic.stages.bad_pixels:flag_bad_pixels",
            "Flag as ``bad``, ``hot`` or ``warm`` what the mask of bad pixels says",
        ),
        Stage(
            "flag_cosmic_rays",
            "csst_cpic.stages.cosmic_rays:flag_cosmic_rays",
            "Find pixels hit by cosmic rays by comparing the frames of a series",
        ),
        Stage(
            "set_flags",
            "csst_cpic.stages.cosmic_rays:set_flags",
            "Flag the pixels of a frame that cosmic rays hit",
        ),
        Stage(
            "count_photons",
            "csst_cpic.stages.count_photons:count_photons",
            "Measure the electrons per frame by counting in how many frames a pixel is detected",
        ),
        Stage(
            "average_frames",
            "csst_cpic.stages.variance:average_frames",
            "Average the frames of a series without cosmic rays",
        ),
        Stage(
            "measure_noise",
            "csst_cpic.stages.measure_noise:measure_noise",
            "Compare the signals of dark pixels with what the register makes of their rates",
        ),
        Stage(
            "estimate_variance",
            "csst_cpic.stages.variance:estimate_variance",
            "Add read noise and the noise of multiplied charge to the variance",
        ),
        Stage(
            "subtract_dark_and_cic",
            "csst_cpic.stages.dark:subtract_dark_and_cic",
            "Subtract the dark current of the exposure and the clock-induced charge of a frame",
        ),
        Stage(
            "subtract_background",
            "csst_cpic.stages.background:subtract_background",
            "Subtract the background of the sky and of scattered light",
        ),
        Stage(
            "calibrate_rate",
            "csst_cpic.stages.rate:calibrate_rate",
            "Subtract dark current, clock-induced charge and background from a counted rate, and "
            "flatten",
        ),
        Stage(
            "measure_frame",
            "csst_cpic.stages.quality:measure_frame",
            "Measure noise and flags of a reduced frame",
        ),
        Stage(
            "compare_frames",
            "csst_cpic.stages.quality:compare_frames",
            "Put what is known of every frame of a series side by side",
        ),
        Stage(
            "average_error",
            "csst_cpic.stages.quality:average_error",
            "Average the variances of the frames of a series, which has one rate and one EM gain",
        ),
        Stage(
            "orient_frames",
            "csst_cpic.stages.orient_frames:orient_frames",
            "Give frames of any telescope the position angle of their +y axis, and their scale",
        ),
        Stage(
            "measure_star",
            "csst_cpic.stages.measure_star:measure_star",
            "Average frames of the star without coronagraph, centred, for contrasts and injection",
        ),
        Stage(
            "fit_star_centres",
            "csst_cpic.stages.star_centres:fit_star_centres",
            "Fit the centre of the star in each frame",
        ),
        Stage(
            "select_frames",
            "csst_cpic.stages.select_frames:select_frames",
            "Leave out frames whose star is lost, displaced, faint or bright, or whose halo is "
            "bright",
        ),
        Stage(
            "register_frames",
            "csst_cpic.stages.register_frames:register_frames",
            "Shift frames so that the star is on the central pixel of a cube",
        ),
        Stage(
            "coadd",
            "csst_cpic.stages.coadd:coadd",
            "Average registered frames with North up and East left, without subtracting the star",
        ),
        Stage(
            "subtract_psf",
            "csst_cpic.stages.subtract_psf:subtract_psf",
            "Model the star in each frame, subtract it, and combine the frames with North up",
        ),
        Stage(
            "signal_to_noise",
            "csst_cpic.stages.signal_to_noise:signal_to_noise",
            "Compare the flux at each place with that of the other apertures at its distance",
        ),
        Stage(
            "find_companions",
            "csst_cpic.stages.find_companions:find_companions",
            "Find sources in a residual image by their signal over noise in small samples",
        ),
        Stage(
            "fit_companions",
            "csst_cpic.stages.fit_companions:fit_companions",
            "Fit contrast and position of companions as negative ones in the raw frames",
        ),
        Stage(
            "contrast_curve",
            "csst_cpic.stages.contrast_curve:contrast_curve",
            "Measure the contrast that is detected, by injection and recovery of companions",
        ),
        Stage(
            "join_residual",
            "csst_cpic.stages.join_residual:join_residual",
            "Join residual, signal over noise, settings and companions for one file",
        ),
    ]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the pipelines of the coronagraph."""
    return [
        Pipeline(
            "make_bias", "pipelines/make_bias.toml", "Make the master bias of the coronagraph"
        ),
        Pipeline(
            "make_linearity",
            "pipelines/make_linearity.toml",
            "Measure the relative gain of the coronagraph's amplifier",
        ),
        Pipeline(
            "make_em_gain", "pipelines/make_em_gain.toml", "Measure the EM gains of the coronagraph"
        ),
        Pipeline(
            "make_cti",
            "pipelines/make_cti.toml",
            "Measure the charge-transfer inefficiency of the coronagraph",
        ),
        Pipeline(
            "make_dark",
            "pipelines/make_dark.toml",
            "Make the dark rate of the coronagraph and its mask of hot pixels",
        ),
        Pipeline(
            "make_cic",
            "pipelines/make_cic.toml",
            "Make the clock-induced charge of the coronagraph",
        ),
        Pipeline("make_flat", "pipelines/make_flat.toml", "Make the flat field of the coronagraph"),
        Pipeline("l1", "pipelines/l1.toml", "Calibrate the frames of a coronagraph observation"),
        Pipeline(
            "l2_adi",
            "pipelines/l2_adi.toml",
            "Subtract a star by its rolls, find companions and measure the contrast curve",
        ),
        Pipeline(
            "l2_rdi",
            "pipelines/l2_rdi.toml",
            "Subtract a star by frames of others, find companions and measure the contrast curve",
        ),
        Pipeline(
            "make_library",
            "pipelines/make_library.toml",
            "Register frames of stars without companions for a library",
        ),
        Pipeline(
            "cube_adi",
            "pipelines/cube_adi.toml",
            "Find companions in a cube of any telescope and measure the contrast curve",
        ),
    ]


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the data definitions."""
    return [
        Definition("l0", "definitions/l0.toml", "Series of raw EMCCD frames of the coronagraph"),
        Definition(
            "l1", "definitions/l1.toml", "Reduced frames of the coronagraph with their masks"
        ),
        Definition(
            "l1_error",
            "definitions/l1_error.toml",
            "Errors of the pixels of reduced coronagraph frames",
        ),
        Definition(
            "l1_rate",
            "definitions/l1_rate.toml",
            "Electrons per frame of a coronagraph series by photon counting",
        ),
        Definition(
            "l1_noise",
            "definitions/l1_noise.toml",
            "Histogram of the noise of a coronagraph series, with its model",
        ),
        Definition(
            "l1_quality",
            "definitions/l1_quality.toml",
            "Noise, bias level and flags of every frame of a coronagraph series",
        ),
        Definition("bias", "definitions/bias.toml", "Master bias of the coronagraph"),
        Definition("flat", "definitions/flat.toml", "Flat field of the coronagraph with unit mean"),
        Definition("dark", "definitions/dark.toml", "Dark rate of the coronagraph"),
        Definition("cic", "definitions/cic.toml", "Clock-induced charge of the coronagraph"),
        Definition(
            "dark_ramp",
            "definitions/dark_ramp.toml",
            "Mean charge of dark frames at every exposure time",
        ),
        Definition(
            "bad_pixels",
            "definitions/bad_pixels.toml",
            "Pixels of the coronagraph that are bad, hot or warm in every exposure",
        ),
        Definition(
            "em_gain", "definitions/em_gain.toml", "Measured EM gain of every commanded one"
        ),
        Definition(
            "nonlinearity",
            "definitions/nonlinearity.toml",
            "Relative gain of the amplifier on counts and EM gain",
        ),
        Definition(
            "cti", "definitions/cti.toml", "Charge-transfer inefficiency of the coronagraph"
        ),
        Definition("background", "definitions/background.toml", "Background of the coronagraph"),
        Definition(
            "mask_transmission",
            "definitions/mask_transmission.toml",
            "Transmission of the focal-plane mask by separation from the star",
        ),
        Definition(
            "library", "definitions/library.toml", "Registered frames of stars without companions"
        ),
        Definition(
            "l2_residual",
            "definitions/l2_residual.toml",
            "What is left of a star, with the signal over noise and the settings",
        ),
        Definition(
            "l2_frames",
            "definitions/l2_frames.toml",
            "Registered frames of a star: place of the star, rotation, exposure",
        ),
        Definition(
            "l2_companions",
            "definitions/l2_companions.toml",
            "Companions of a star with contrast and position",
        ),
        Definition(
            "l2_contrast",
            "definitions/l2_contrast.toml",
            "Contrast that a companion needs to be detected, by separation",
        ),
        Definition(
            "l2_coadd",
            "definitions/l2_coadd.toml",
            "Frames of a star turned north up and averaged, the star not subtracted",
        ),
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
        ReferenceType(
            "dark_zone",
            "toml",
            "Working angles of the coronagraph",
            product="csst_cpic.dark_zone:DarkZone",
        ),
        ReferenceType("bias", "fits", "Master bias in adu", definition="cpic.bias"),
        ReferenceType("flat", "fits", "Flat field with unit mean", definition="cpic.flat"),
        ReferenceType("dark", "fits", "Dark rate in electrons per second", definition="cpic.dark"),
        ReferenceType(
            "cic", "fits", "Clock-induced charge in electrons per frame", definition="cpic.cic"
        ),
        ReferenceType(
            "bad_pixels", "fits", "Mask of bad, hot and warm pixels", definition="cpic.bad_pixels"
        ),
        ReferenceType(
            "em_gain", "fits", "Measured EM gain by commanded one", definition="cpic.em_gain"
        ),
        ReferenceType(
            "nonlinearity",
            "fits",
            "Relative gain on counts and EM gain",
            definition="cpic.nonlinearity",
        ),
        ReferenceType("cti", "fits", "Charge-transfer inefficiency", definition="cpic.cti"),
        ReferenceType(
            "background",
            "fits",
            "Background in electrons per second",
            definition="cpic.background",
        ),
        ReferenceType(
            "mask_transmission",
            "fits",
            "Transmission of the focal-plane mask by separation from the star",
            definition="cpic.mask_transmission",
        ),
        ReferenceType(
            "library",
            "fits",
            "Registered frames of stars without companions",
            definition="cpic.library",
        ),
        ReferenceRules("cpic.detector", "references/detector.toml", "the visible camera"),
        ReferenceRules("cpic.dark_zone", "references/dark_zone.toml", "the design"),
        ReferenceRules(
            "calib.readout", "references/readout.toml", "the visible camera, one channel"
        ),
    ]


@hookimpl
def csst_checks() -> list[Check]:
    """Return the quality checks."""
    return [
        Check(
            "raw_level",
            f"{_LEVEL_1_CHECKS}:raw_level",
            "Median of a raw frame, from every fifth row",
        ),
        Check(
            "bias_range",
            f"{_LEVEL_1_CHECKS}:bias_range",
            "Range of the bias level over the frames in adu",
        ),
        Check(
            "largest_bias_noise",
            f"{_LEVEL_1_CHECKS}:largest_bias_noise",
            "Largest noise of a prescan in adu",
        ),
        Check(
            "noise_model_distance",
            "csst_cpic.checks_noise:noise_model_distance",
            "Largest distance of the cumulative distributions of dark pixels and of their model",
        ),
        Check(
            "median_pull",
            f"{_LEVEL_1_CHECKS}:median_pull",
            "Median over the frames of the scatter between neighbours over its error",
        ),
        Check(
            "median_error",
            f"{_CALIBRATION_CHECKS}:median_error",
            "Median error of the unflagged pixels",
        ),
        Check(
            "largest_em_gain_error",
            f"{_CALIBRATION_CHECKS}:largest_em_gain_error",
            "Largest relative error of an EM gain",
        ),
        Check(
            "largest_method_difference",
            f"{_CALIBRATION_CHECKS}:largest_method_difference",
            "Largest relative difference of an EM gain between histogram and moments",
        ),
        Check(
            "largest_histogram_chi_square",
            f"{_CALIBRATION_CHECKS}:largest_histogram_chi_square",
            "Largest chi-square, per degree of freedom, of a histogram with the EM model",
        ),
        Check(
            "largest_ramp_residual",
            f"{_CALIBRATION_CHECKS}:largest_ramp_residual",
            "Largest deviation of a relative gain from the line between its neighbours",
        ),
        Check(
            "largest_relative_gain_error",
            f"{_CALIBRATION_CHECKS}:largest_relative_gain_error",
            "Largest relative error of a relative gain",
        ),
        Check(
            "largest_ramp_pull",
            f"{_CALIBRATION_CHECKS}:largest_ramp_pull",
            "Largest deviation of a mean dark charge from the fitted line, over its error",
        ),
        Check(
            "vertical_trail_residual",
            f"{_CALIBRATION_CHECKS}:vertical_trail_residual",
            "Part of the vertical trail, in its first two pixels, that the fit leaves",
        ),
        Check(
            "horizontal_trail_residual",
            f"{_CALIBRATION_CHECKS}:horizontal_trail_residual",
            "Part of the horizontal trail, in its first two pixels, that the fit leaves",
        ),
        Check(
            "largest_trail_chi_square",
            f"{_CALIBRATION_CHECKS}:largest_trail_chi_square",
            "Largest chi-square, per degree of freedom, of the trails of all levels",
        ),
        Check(
            "empty_fraction",
            f"{_LEVEL_2_CHECKS}:empty_fraction",
            "Fraction of the pixels between the radii of a reduction that have no value",
        ),
        Check(
            "unconverged_fraction",
            f"{_LEVEL_2_CHECKS}:unconverged_fraction",
            "Fraction of the companions whose fit does not converge",
        ),
        Check(
            "lowest_throughput",
            f"{_LEVEL_2_CHECKS}:lowest_throughput",
            "Lowest part of a companion's flux that the reduction leaves, over all separations",
        ),
        Check(
            "best_contrast",
            f"{_LEVEL_2_CHECKS}:best_contrast",
            "Lowest contrast that is detected in half of all cases",
        ),
    ]


@hookimpl
def csst_figures() -> list[Figure]:
    """Return the figures."""
    return [
        Figure(
            "noise_histogram",
            "csst_cpic.figures_noise:noise_histogram",
            "Histogram of the signal of dark pixels, with the model of the register",
        ),
        Figure(
            "frame_quality",
            "csst_cpic.figures_level1:frame_quality",
            "Bias level, noise and flags of every frame",
        ),
        Figure(
            "em_gains",
            f"{_CALIBRATION_FIGURES}:em_gains",
            "Measured over commanded EM gain by both methods, with errors",
        ),
        Figure(
            "relative_gains",
            f"{_CALIBRATION_FIGURES}:relative_gains",
            "Relative gain by counts at every EM gain, with errors and deviations",
        ),
        Figure(
            "dark_ramp",
            f"{_CALIBRATION_FIGURES}:dark_ramp",
            "Mean charge of dark frames by exposure time, with the fitted line",
        ),
        Figure(
            "profiles",
            f"{_CALIBRATION_FIGURES}:profiles",
            "Mean of the rows and of the columns of a reference, without outliers, with errors",
        ),
        Figure(
            "trails",
            f"{_CALIBRATION_FIGURES}:trails",
            "Trails behind the edges of bright frames with the fitted ones",
        ),
        Figure(
            "star_places",
            "csst_cpic.figures_frames:star_places",
            "Place of the star in every frame, and the position angle of the frame",
        ),
        Figure(
            "coadded_frames",
            "csst_cpic.figures_frames:coadded_frames",
            "Mean of all frames with the star, North up and East left",
        ),
        Figure(
            "residual_with_companions",
            "csst_cpic.figures_level2:residual_with_companions",
            "Residual image and signal over noise, with the companions marked",
        ),
        Figure(
            "contrast_curve",
            "csst_cpic.figures_level2:contrast_curve",
            "Contrast that is detected by separation, and the throughput of the reduction",
        ),
    ]
