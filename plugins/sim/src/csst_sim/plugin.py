"""What csst-sim declares."""

from __future__ import annotations

from csstcore.plugin import (
    Definition,
    Pipeline,
    Reader,
    ReferenceRules,
    ReferenceType,
    Stage,
    hookimpl,
)

_STAGES = "csst_sim.stages"
_HSTDM = "csst_sim.hstdm"
_CPIC = "csst_sim.cpic"


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages, in the order of the physics."""
    return [
        Stage(
            "set_up",
            f"{_STAGES}.set_up:set_up",
            "Draw the detector, telescope and pointing of one exposure",
        ),
        Stage(
            "draw_scene",
            f"{_STAGES}.scene:draw_scene",
            "Draw stars and galaxies as electrons per second of an ideal detector",
        ),
        Stage(
            "add_sky",
            f"{_STAGES}.light:add_sky",
            "Add the sky of the filter, uniform in electrons per second and pixel",
        ),
        Stage(
            "add_stray_light",
            f"{_STAGES}.stray_light:add_stray_light",
            "Add ghosts and scattered light of bright stars",
        ),
        Stage(
            "add_satellite_trails",
            f"{_STAGES}.stray_light:add_satellite_trails",
            "Add the light of satellites that cross the field",
        ),
        Stage(
            "light_lamp",
            f"{_STAGES}.light:light_lamp",
            "Make the light of a calibration exposure: the LED of a flat, nothing for others",
        ),
        Stage(
            "expose",
            f"{_STAGES}.light:expose",
            "Collect electrons: response, shutter, dark current, photon noise",
        ),
        Stage(
            "apply_brighter_fatter",
            f"{_STAGES}.charge:apply_brighter_fatter",
            "Let collected charge repel the charge that comes (brighter-fatter effect)",
        ),
        Stage(
            "add_cosmic_rays",
            f"{_STAGES}.charge:add_cosmic_rays",
            "Add the charge of cosmic rays",
        ),
        Stage(
            "saturate",
            f"{_STAGES}.charge:saturate",
            "Cut charge at the full well; the rest bleeds along columns",
        ),
        Stage(
            "transfer",
            f"{_STAGES}.charge:transfer",
            "Shift charge to the amplifiers of the 16 channels, past traps",
        ),
        Stage(
            "read_out",
            f"{_STAGES}.read_out:read_out",
            "Amplify and digitise all channels: the raw frame",
        ),
        Stage(
            "draw_catalogs",
            f"{_STAGES}.catalogues:draw_catalogs",
            "List the true stars and galaxies in the fields of a plan",
        ),
        Stage(
            "observe_reference_stars",
            f"{_STAGES}.catalogues:observe_reference_stars",
            "List the stars as a Gaia-like reference catalogue at epoch 2016.0",
        ),
        Stage(
            "set_up_hstdm",
            f"{_HSTDM}.set_up:set_up_hstdm",
            "Draw receiver, orbit and schedule of one terahertz observation",
        ),
        Stage(
            "observe_hstdm",
            f"{_HSTDM}.observe:observe_hstdm",
            "Turn sky and loads into the counts of a drifting, noisy receiver",
        ),
        Stage(
            "record_hstdm_truth",
            f"{_HSTDM}.truth:record_hstdm_truth",
            "Record the sky at the target and the receiver channel by channel",
        ),
        Stage(
            "record_sky_map",
            f"{_HSTDM}.sky_map:record_sky_map",
            "Record the true map of an on-the-fly observation, as the telescope's beam sees it",
        ),
        Stage(
            "measure_sideband_gain",
            f"{_HSTDM}.truth:measure_sideband_gain",
            "Measure the sideband gain as a laboratory does, with errors",
        ),
        Stage(
            "record_orbit",
            f"{_HSTDM}.truth:record_orbit",
            "Record position and velocity of the telescope every ten seconds",
        ),
        Stage(
            "set_up_cpic",
            f"{_CPIC}.set_up:set_up_cpic",
            "Draw camera, optics and pointing of one coronagraph observation",
        ),
        Stage(
            "observe_cpic",
            f"{_CPIC}.observe:observe_cpic",
            "Take the frames of one coronagraph observation",
        ),
        Stage(
            "record_planets",
            f"{_CPIC}.observe:record_planets",
            "List the true planets of an observation",
        ),
    ]


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the simulations."""
    return [
        Pipeline(
            "msc_imaging",
            "pipelines/msc_imaging.toml",
            "Simulate imaging exposures of the survey camera as Level 0 with truth",
        ),
        Pipeline(
            "msc_calibration",
            "pipelines/msc_calibration.toml",
            "Simulate bias, dark and LED-flat exposures of the survey camera as Level 0",
        ),
        Pipeline(
            "sky",
            "pipelines/sky.toml",
            "List the true sky of a plan and a Gaia-like reference catalogue",
        ),
        Pipeline(
            "hstdm",
            "pipelines/hstdm.toml",
            "Simulate terahertz observations as Level 0 with truth and references",
        ),
        Pipeline(
            "cpic",
            "pipelines/cpic.toml",
            "Simulate coronagraph observations as Level 0 with truth",
        ),
    ]


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the definitions of plans and truth."""
    return [
        Definition("plan", "definitions/plan.toml", "Plan of a simulation"),
        Definition("truth_catalog", "definitions/truth_catalog.toml", "True sources on a detector"),
        Definition(
            "cosmic_ray_truth",
            "definitions/cosmic_ray_truth.toml",
            "Electrons that cosmic rays left in each pixel",
        ),
        Definition(
            "settings_truth",
            "definitions/settings_truth.toml",
            "True properties of a simulated detector by channel",
        ),
        Definition("trail_truth", "definitions/trail_truth.toml", "True trails of satellites"),
        Definition(
            "stray_light_truth",
            "definitions/stray_light_truth.toml",
            "True ghosts and scattered light",
        ),
        Definition("star_catalog", "definitions/star_catalog.toml", "True stars of a sky"),
        Definition("galaxy_catalog", "definitions/galaxy_catalog.toml", "True galaxies of a sky"),
        Definition(
            "hstdm_plan", "definitions/hstdm_plan.toml", "Plan of simulated terahertz observations"
        ),
        Definition(
            "hstdm_sky_truth",
            "definitions/hstdm_sky_truth.toml",
            "True brightness of a simulated target",
        ),
        Definition(
            "hstdm_map_truth",
            "definitions/hstdm_map_truth.toml",
            "True map as the beam of a simulated telescope sees it",
        ),
        Definition(
            "hstdm_receiver_truth",
            "definitions/hstdm_receiver_truth.toml",
            "True properties of a simulated receiver by channel",
        ),
        Definition(
            "hstdm_dump_truth",
            "definitions/hstdm_dump_truth.toml",
            "True state of a simulated receiver by dump",
        ),
        Definition(
            "hstdm_hit_truth",
            "definitions/hstdm_hit_truth.toml",
            "Channels that cosmic rays hit in single dumps",
        ),
        Definition(
            "cpic_plan", "definitions/cpic_plan.toml", "Plan of simulated coronagraph observations"
        ),
        Definition(
            "cpic_truth",
            "definitions/cpic_truth.toml",
            "True light, camera and gains of a coronagraph observation",
        ),
        Definition(
            "cpic_frame_truth",
            "definitions/cpic_frame_truth.toml",
            "True bias and position of the star in each coronagraph frame",
        ),
        Definition(
            "cpic_hit_truth",
            "definitions/cpic_hit_truth.toml",
            "Pixels of coronagraph frames that cosmic rays and their tails touched",
        ),
        Definition(
            "cpic_planet_truth",
            "definitions/cpic_planet_truth.toml",
            "True planets of a simulated coronagraph observation",
        ),
    ]


@hookimpl
def csst_readers() -> list[Reader]:
    """Return the readers of plans."""
    return [
        Reader("plan", "csst_sim.plan:read_plan", "Read the plan of a simulation"),
        Reader(
            "hstdm_plan",
            "csst_sim.hstdm.plan:read_plan",
            "Read the plan of terahertz observations",
        ),
        Reader(
            "cpic_plan",
            "csst_sim.cpic.plan:read_plan",
            "Read the plan of coronagraph observations",
        ),
    ]


@hookimpl
def csst_references() -> list[ReferenceType | ReferenceRules]:
    """Return the numbers of the instrument."""
    return [
        ReferenceType(
            "readout", "toml", "Format of a raw frame", product="csst_sim.settings:Readout"
        ),
        ReferenceType(
            "detector_ranges",
            "toml",
            "Ranges from which detectors are drawn",
            product="csst_sim.settings:DetectorRanges",
        ),
        ReferenceType(
            "optics",
            "toml",
            "Telescope, focal plane and filters",
            product="csst_sim.settings:Optics",
        ),
        ReferenceType(
            "stray_light",
            "toml",
            "Satellites, ghosts and scattered light",
            product="csst_sim.settings:StrayLight",
        ),
        ReferenceType(
            "hstdm_receiver",
            "toml",
            "Terahertz receiver, its loads, drifts and orbit",
            product="csst_sim.hstdm.settings:HstdmReceiver",
        ),
        ReferenceType(
            "cpic_readout",
            "toml",
            "Format of a raw frame of the coronagraph",
            product="csst_sim.cpic.settings:CpicReadout",
        ),
        ReferenceType(
            "cpic_camera",
            "toml",
            "EMCCD of the coronagraph",
            product="csst_sim.cpic.settings:CpicCamera",
        ),
        ReferenceType(
            "cpic_optics",
            "toml",
            "Telescope, mask and dark zone of the coronagraph",
            product="csst_sim.cpic.settings:CpicOptics",
        ),
        ReferenceRules(
            "sim.cpic_readout", "references/cpic_readout.toml", "formats of the coronagraph"
        ),
        ReferenceRules("sim.cpic_camera", "references/cpic_camera.toml", "one proposed EMCCD"),
        ReferenceRules(
            "sim.cpic_optics", "references/cpic_optics.toml", "one proposed coronagraph"
        ),
        ReferenceRules(
            "sim.hstdm_receiver", "references/hstdm_receiver.toml", "one proposed receiver"
        ),
        ReferenceRules(
            "sim.stray_light", "references/stray_light.toml", "stray light of the survey camera"
        ),
        ReferenceRules("sim.readout", "references/readout.toml", "formats of the survey camera"),
        ReferenceRules(
            "sim.detector_ranges", "references/detector_ranges.toml", "CCDs of the survey camera"
        ),
        ReferenceRules("sim.optics", "references/optics.toml", "optics of the survey camera"),
    ]
