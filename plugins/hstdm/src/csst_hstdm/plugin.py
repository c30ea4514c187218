"""What csst-hstdm declares."""

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

_STAGES = "csst_hstdm.stages"


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    return [
        Stage(
            "flag_dumps",
            f"{_STAGES}.flag_dumps:flag_dumps",
            "Flag spikes, saturation, bad channels, clock jumps and unstable dumps",
        ),
        Stage(
            "interpolate_pointing",
            f"{_STAGES}.orbit:interpolate_pointing",
            "Give dumps that lost their pointing that of their neighbours in the same scan",
        ),
        Stage(
            "interpolate_orbit",
            f"{_STAGES}.orbit:interpolate_orbit",
            "Give each dump the position and velocity of the spacecraft at its middle",
        ),
        Stage(
            "solve_loads",
            f"{_STAGES}.solve_loads:solve_loads",
            "Solve gain and receiver temperature of every channel for each pair of load blocks",
        ),
        Stage(
            "calibrate",
            f"{_STAGES}.calibrate:calibrate",
            "Calibrate ON minus OFF to the antenna temperature of the signal sideband",
        ),
        Stage(
            "to_main_beam",
            f"{_STAGES}.main_beam:to_main_beam",
            "Convert antenna temperatures to main-beam temperatures",
        ),
        Stage(
            "shift_to_lsrk",
            f"{_STAGES}.lsrk:shift_to_lsrk",
            "Shift each dump to the local standard of rest and resample it onto a common axis",
        ),
        Stage(
            "calibrate_noise_diode",
            f"{_STAGES}.position_switch:calibrate_noise_diode",
            "Calibrate ON against OFF dumps with the noise diode",
        ),
        Stage(
            "subtract_baseline",
            f"{_STAGES}.subtract_baseline:subtract_baseline",
            "Subtract a polynomial with standing waves from each dump, outside of lines",
        ),
        Stage(
            "average_spectra",
            f"{_STAGES}.average_spectra:average_spectra",
            "Average dumps of one target, weighted with t / T_sys^2",
        ),
        Stage(
            "grid_spectra",
            f"{_STAGES}.grid_spectra:grid_spectra",
            "Grid dumps taken on the fly into a cube with its errors and weights",
        ),
        Stage(
            "find_lines",
            f"{_STAGES}.find_lines:find_lines",
            "Find lines in an averaged spectrum, fit Gaussians and name them",
        ),
        Stage(
            "make_moments",
            f"{_STAGES}.make_moments:make_moments",
            "Integrate a line over its channels in each pixel: moments 0, 1 and 2 with errors",
        ),
    ]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the pipelines."""
    return [
        Pipeline(
            "l1",
            "pipelines/l1.toml",
            "Calibrate the dumps of a project and shift them to the local standard of rest",
        ),
        Pipeline(
            "l2_target",
            "pipelines/l2_target.toml",
            "Average the dumps of a target and find its lines",
        ),
        Pipeline(
            "l2_otf",
            "pipelines/l2_otf.toml",
            "Grid dumps taken on the fly into a cube, with lines and moment maps",
        ),
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
            "system_temperature",
            "definitions/system_temperature.toml",
            "System temperature of every off position",
        ),
        Definition("l2_spectrum", "definitions/l2_spectrum.toml", "Average spectrum of a target"),
        Definition("l2_lines", "definitions/l2_lines.toml", "Lines found in an average spectrum"),
        Definition("l2_moments", "definitions/l2_moments.toml", "Moments of a line on the sky"),
        Definition("l2_cube", "definitions/l2_cube.toml", "Map of spectra on the sky"),
        Definition(
            "load_gain",
            "definitions/load_gain.toml",
            "Gain and receiver temperature from the loads",
        ),
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
        ReferenceType(
            "gridding",
            "toml",
            "Kernels and sampling of maps",
            product="csst_hstdm.gridding:Gridding",
        ),
        ReferenceType(
            "line_list", "toml", "Lines with their names", product="csst_hstdm.line_list:LineList"
        ),
        ReferenceRules(
            "hstdm.gridding", "references/gridding.toml", "Gaussian and Bessel times Gaussian"
        ),
        ReferenceRules(
            "hstdm.line_list", "references/line_list.toml", "strong lines, 410 to 510 GHz"
        ),
        ReferenceRules(
            "hstdm.receiver", "references/receiver.toml", "one proposed receiver for all data"
        ),
    ]


@hookimpl
def csst_checks() -> list[Check]:
    """Return the quality checks."""
    return [
        Check(
            "receiver_temperature",
            "csst_hstdm.checks:receiver_temperature",
            "Median receiver temperature of the band in K (Callen-Welton)",
        ),
        Check(
            "gain_drift",
            "csst_hstdm.checks:gain_drift",
            "Largest relative change of the band's gain from one pair of loads to the next",
        ),
        Check(
            "system_temperature",
            "csst_hstdm.checks:system_temperature",
            "Median system temperature of the dumps in K (double sideband)",
        ),
        Check(
            "noise_ratio",
            "csst_hstdm.checks:noise_ratio",
            "Scatter between channels over that of the radiometer equation",
        ),
        Check(
            "rms_over_prediction",
            "csst_hstdm.checks_level2:rms_over_prediction",
            "Scatter of an average outside of its lines over that predicted from its errors",
        ),
        Check(
            "map_coverage",
            "csst_hstdm.checks_level2:map_coverage",
            "Fraction of the pixels of a map that have data and are no border",
        ),
        Check(
            "noise_over_map",
            "csst_hstdm.checks_level2:noise_over_map",
            "Scatter of the pixels that are no border, over that of their errors",
        ),
        Check(
            "flagged_fraction",
            "csst_hstdm.checks:flagged_fraction",
            "Fraction of the samples with any flag, within the band of each dump",
        ),
    ]


@hookimpl
def csst_figures() -> list[Figure]:
    """Return the pictures for the report."""
    return [
        Figure(
            "waterfall",
            "csst_hstdm.figures:waterfall",
            "Picture of the dumps in the order of time, by frequency",
        ),
        Figure(
            "average_spectrum",
            "csst_hstdm.figures_level2:average_spectrum",
            "Average spectrum and the same smoothed, with the windows of its lines",
        ),
        Figure(
            "map_and_weight",
            "csst_hstdm.figures_level2:map_and_weight",
            "Brightest channel of each pixel of a map, and its weights",
        ),
        Figure(
            "moment_maps",
            "csst_hstdm.figures_level2:moment_maps",
            "Integrated intensity, mean velocity and width of a line on the sky",
        ),
        Figure(
            "load_calibration",
            "csst_hstdm.figures:load_calibration",
            "Receiver temperature by channel, and the gain of the band over time",
        ),
    ]
