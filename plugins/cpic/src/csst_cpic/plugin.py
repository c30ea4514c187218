"""What csst-cpic declares: each table says what a thing is called, where it is, and what it is."""

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

_STAGES = {
    "series:check_series": (
        "Check that frames are one series, and leave out those that hold nothing"
    ),
    "saturation:flag_saturation": (
        "Flag as ``saturated`` the raw pixels at the limit of pixel, register or converter"
    ),
    "saturation:flag_blooming": (
        "Flag as ``saturated`` the pixels that took the rest of what saturated ones spilled"
    ),
    "bias_level:subtract_bias_level": (
        "Subtract the bias level of every row and keep the data section"
    ),
    "nonlinearity:correct_nonlinearity": "Correct the non-linear response of the amplifier",
    "electrons:to_electrons": "Convert an image from adu to electrons before multiplication",
    "cte:correct_cte": "Put charge that transfers left behind back into the pixels it came from",
    "calibration_set:check_set": (
        "Check that frames make one calibration set, and leave out those that hold nothing"
    ),
    "measure_em_gain:measure_em_gain": (
        "Measure the EM gain of every commanded one from flats of two levels or more"
    ),
    "fit_dark_and_cic:fit_dark_and_cic": (
        "Fit dark current and clock-induced charge to every pixel of dark frames"
    ),
    "find_hot_pixels:find_hot_pixels": "Find pixels that are hot or warm by their dark rate",
    "measure_cti:measure_cti": (
        "Measure the charge-transfer inefficiency by extended-pixel-edge response"
    ),
    "measure_linearity:measure_linearity": (
        "Measure the relative gain of counts at every EM gain from flats of a constant lamp"
    ),
    "bad_pixels:flag_bad_pixels": (
        "Flag as ``bad``, ``hot`` or ``warm`` what the mask of bad pixels says"
    ),
    "cosmic_rays:flag_cosmic_rays": (
        "Find pixels hit by cosmic rays by comparing the frames of a series"
    ),
    "cosmic_rays:set_flags": "Flag the pixels of a frame that cosmic rays hit",
    "count_photons:count_photons": (
        "Measure the electrons per frame by counting in how many frames a pixel is detected"
    ),
    "variance:average_frames": "Average the frames of a series without cosmic rays",
    "measure_noise:measure_noise": (
        "Compare signals where light is even with what the register makes of their rates"
    ),
    "variance:estimate_variance": (
        "Add read noise and the noise of multiplied charge to the variance"
    ),
    "dark:subtract_dark_and_cic": (
        "Subtract the dark current of the exposure and the clock-induced charge of a frame"
    ),
    "background:subtract_background": "Subtract the background of the sky and of scattered light",
    "rate:calibrate_rate": (
        "Correct transfers of a counted rate, subtract dark and background, and flatten"
    ),
    "quality:measure_frame": "Measure noise and flags of a reduced frame",
    "quality:compare_frames": "Put what is known of every frame of a series side by side",
    "quality:average_error": (
        "Average the variances of the frames of a series, which has one rate and one EM gain"
    ),
    "orient_frames:orient_frames": (
        "Give frames of any telescope the position angle of their +y axis, and their scale"
    ),
    "measure_star:measure_star": (
        "Average frames of the star without coronagraph, centred, for contrasts and injection"
    ),
    "star_centres:fit_star_centres": "Fit the centre of the star in each frame",
    "select_frames:select_frames": (
        "Leave out frames whose star is lost, displaced, faint or bright, or whose halo is bright"
    ),
    "register_frames:register_frames": (
        "Shift frames so that the star is on the central pixel of a cube"
    ),
    "coadd:coadd": (
        "Average registered frames with North up and East left, without subtracting the star"
    ),
    "subtract_psf:subtract_psf": (
        "Model the star in each frame, subtract it, and combine the frames with North up"
    ),
    "signal_to_noise:signal_to_noise": (
        "Compare the flux at each place with that of the other apertures at its distance"
    ),
    "find_companions:find_companions": (
        "Find sources in a residual image by their signal over noise in small samples"
    ),
    "fit_companions:fit_companions": (
        "Fit contrast and position of companions as negative ones in the raw frames"
    ),
    "contrast_curve:contrast_curve": (
        "Measure the contrast that is detected, by injection and recovery of companions"
    ),
    "join_residual:join_residual": (
        "Join residual, signal over noise, settings and companions for one file"
    ),
}

_PIPELINES = {
    "make_bias": "Make the master bias of the coronagraph",
    "make_linearity": "Measure the relative gain of the coronagraph's amplifier",
    "make_em_gain": "Measure the EM gains of the coronagraph",
    "make_cti": "Measure the charge-transfer inefficiency of the coronagraph",
    "make_dark": "Make the dark rate of the coronagraph and its mask of hot pixels",
    "make_cic": "Make the clock-induced charge of the coronagraph",
    "make_flat": "Make the flat field of the coronagraph",
    "l1": "Calibrate the frames of a coronagraph observation",
    "l2_adi": "Subtract a star by its rolls, find companions and measure the contrast curve",
    "l2_rdi": "Subtract a star by frames of others, find companions and measure the contrast curve",
    "make_library": "Register frames of stars without companions for a library",
    "cube_adi": "Find companions in a cube of any telescope and measure the contrast curve",
}

_DEFINITIONS = {
    "l0": "Series of raw EMCCD frames of the coronagraph",
    "l1": "Reduced frames of the coronagraph with their masks",
    "l1_error": "Errors of the pixels of reduced coronagraph frames",
    "l1_rate": "Electrons per frame of a coronagraph series by photon counting",
    "l1_noise": "Histogram of the noise of a coronagraph series, with its model",
    "l1_quality": "Noise, bias level and flags of every frame of a coronagraph series",
    "bias": "Master bias of the coronagraph",
    "flat": "Flat field of the coronagraph with unit mean",
    "dark": "Dark rate of the coronagraph",
    "cic": "Clock-induced charge of the coronagraph",
    "dark_ramp": "Mean charge of dark frames at every exposure time",
    "bad_pixels": "Pixels of the coronagraph that are bad, hot or warm in every exposure",
    "em_gain": "Measured EM gain of every commanded one",
    "nonlinearity": "Relative gain of the amplifier on counts and EM gain",
    "cti": "Charge-transfer inefficiency of the coronagraph",
    "background": "Background of the coronagraph",
    "mask_transmission": "Transmission of the focal-plane mask by separation from the star",
    "library": "Registered frames of stars without companions",
    "l2_residual": "What is left of a star, with the signal over noise and the settings",
    "l2_frames": "Registered frames of a star: place of the star, rotation, exposure",
    "l2_companions": "Companions of a star with contrast and position",
    "l2_contrast": "Contrast that a companion needs to be detected, by separation",
    "l2_coadd": "Frames of a star turned north up and averaged, the star not subtracted",
    "adi_cube": "Cube of frames of any telescope, for angular differential imaging",
    "adi_angles": "Angles of the frames of a cube, one number a frame in degrees",
    "adi_psf": "Image of the star without coronagraph, beside a cube of any telescope",
}

_FITS_REFERENCES = {
    "bias": "Master bias in adu",
    "flat": "Flat field with unit mean",
    "dark": "Dark rate in electrons per second",
    "cic": "Clock-induced charge in electrons per frame",
    "bad_pixels": "Mask of bad, hot and warm pixels",
    "em_gain": "Measured EM gain by commanded one",
    "nonlinearity": "Relative gain on counts and EM gain",
    "cti": "Charge-transfer inefficiency",
    "background": "Background in electrons per second",
    "mask_transmission": "Transmission of the focal-plane mask by separation from the star",
    "library": "Registered frames of stars without companions",
}

_CHECKS = {
    "level1:raw_level": "Median of a raw frame, from every fifth row",
    "level1:bias_range": "Range of the bias level over the frames in adu",
    "level1:largest_bias_noise": "Largest noise of a prescan in adu",
    "noise:noise_model_distance": (
        "Largest distance of the cumulative distributions of even pixels and of their model"
    ),
    "level1:median_pull": "Median over the frames of the scatter between neighbours over its error",
    "calibration:median_error": "Median error of the unflagged pixels",
    "calibration:largest_em_gain_error": "Largest relative error of an EM gain",
    "calibration:largest_method_difference": (
        "Largest relative difference of an EM gain between its methods, less twice its error"
    ),
    "calibration:largest_serial_rate": (
        "Largest charge born in the register, less three times its error"
    ),
    "calibration:largest_histogram_chi_square": (
        "Largest chi-square, per degree of freedom, of a histogram with the EM model"
    ),
    "calibration:largest_ramp_residual": (
        "Largest deviation of a relative gain from the line between its neighbours"
    ),
    "calibration:largest_relative_gain_error": "Largest relative error of a relative gain",
    "calibration:largest_ramp_pull": (
        "Largest deviation of a mean dark charge from the fitted line, over its error"
    ),
    "calibration:vertical_trail_residual": (
        "Part of the vertical trail, in its first two pixels, that the fit leaves"
    ),
    "calibration:horizontal_trail_residual": (
        "Part of the horizontal trail, in its first two pixels, that the fit leaves"
    ),
    "calibration:largest_trail_chi_square": (
        "Largest chi-square, per degree of freedom, of the trails of all levels"
    ),
    "level2:empty_fraction": (
        "Fraction of the pixels between the radii of a reduction that have no value"
    ),
    "level2:unconverged_fraction": "Fraction of the companions whose fit does not converge",
    "level2:lowest_throughput": (
        "Lowest part of a companion's flux that the reduction leaves, over all separations"
    ),
    "level2:best_contrast": "Lowest contrast that is detected in half of all cases",
}

_FIGURES = {
    "noise:noise_histogram": (
        "Histogram of the signal where light is even, with the model of the register"
    ),
    "level1:frame_quality": "Bias level, noise and flags of every frame",
    "calibration:em_gains": "Measured over commanded EM gain by both methods, with errors",
    "calibration:relative_gains": (
        "Relative gain by counts at every EM gain, with errors and deviations"
    ),
    "calibration:dark_ramp": "Mean charge of dark frames by exposure time, with the fitted line",
    "calibration:profiles": (
        "Mean of the rows and of the columns of a reference, without outliers, with errors"
    ),
    "calibration:trails": "Trails behind the edges of bright frames with the fitted ones",
    "frames:star_places": "Place of the star in every frame, and the position angle of the frame",
    "frames:coadded_frames": "Mean of all frames with the star, North up and East left",
    "level2:residual_with_companions": (
        "Residual image and signal over noise, with the companions marked"
    ),
    "level2:contrast_curve": (
        "Contrast that is detected by separation, and the throughput of the reduction"
    ),
}


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return [Stage(_name(at), f"csst_cpic.stages.{at}", summary) for at, summary in _STAGES.items()]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the pipelines of the coronagraph."""
    return [Pipeline(name, f"pipelines/{name}.toml", text) for name, text in _PIPELINES.items()]


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the data definitions."""
    return [
        Definition(name, f"definitions/{name}.toml", text) for name, text in _DEFINITIONS.items()
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
        *(
            ReferenceType(name, "fits", text, definition=f"cpic.{name}")
            for name, text in _FITS_REFERENCES.items()
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
    return [Check(_name(at), f"csst_cpic.checks_{at}", text) for at, text in _CHECKS.items()]


@hookimpl
def csst_figures() -> list[Figure]:
    """Return the figures."""
    return [Figure(_name(at), f"csst_cpic.figures_{at}", text) for at, text in _FIGURES.items()]


def _name(target: str) -> str:
    """Return the name of a function in ``module:function``, by which it is known."""
    return target.partition(":")[2]
