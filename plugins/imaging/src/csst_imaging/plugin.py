"""What csst-imaging declares."""

from __future__ import annotations

from csstcore.plugin import Check, Definition, Figure, ReferenceType, Stage, hookimpl


@hookimpl
def csst_stages() -> list[Stage]:
    """Return the stages of this plugin."""
    stages = "csst_imaging.stages"
    return [
        Stage(
            "estimate_background",
            f"{stages}.background:estimate_background",
            "Estimate the smooth background of an image",
        ),
        Stage(
            "detect_sources",
            f"{stages}.detection:detect_sources",
            "Detect sources and measure their positions, shapes and sizes",
        ),
        Stage(
            "model_psf",
            f"{stages}.psf:model_psf",
            "Model the point-spread function and how it varies over the image",
        ),
        Stage(
            "measure_psf_photometry",
            f"{stages}.psf_photometry:measure_psf_photometry",
            "Measure fluxes and positions of sources by fits of the PSF",
        ),
        Stage(
            "solve_position",
            f"{stages}.position:solve_position",
            "Solve the world coordinates of an image against reference stars",
        ),
        Stage(
            "set_wcs",
            f"{stages}.world:set_wcs",
            "Put a world-coordinate solution on an image",
        ),
        Stage(
            "get_wcs",
            f"{stages}.world:get_wcs",
            "Take the world coordinates that a catalogue carries",
        ),
        Stage(
            "select_stars",
            f"{stages}.stars:select_stars",
            "Select the reference stars around the detector of a catalogue",
        ),
        Stage(
            "solve_focal_plane",
            f"{stages}.focal_plane:solve_focal_plane",
            "Solve the detectors of one exposure together, so that those with few stars gain",
        ),
        Stage(
            "refine_position",
            f"{stages}.focal_plane:refine_position",
            "Give a detector's sources the coordinates of the common solution, and write it as TPV",
        ),
        Stage(
            "measure_distortion",
            f"{stages}.distortion:measure_distortion",
            "Measure the distortion of all detectors from exposures of star fields",
        ),
        Stage(
            "flag_bright_stars",
            f"{stages}.bright_stars:flag_bright_stars",
            "Flag as ``ghost`` and ``scattered_light`` where bright stars leave light",
        ),
        Stage(
            "measure_photometry",
            f"{stages}.photometry:measure_photometry",
            "Measure aperture, Kron and total fluxes of sources",
        ),
        Stage(
            "fit_galaxies",
            f"{stages}.galaxy_models:fit_galaxies",
            "Fit Sersic and bulge-plus-disk models to galaxies",
        ),
        Stage(
            "calibrate_flux",
            f"{stages}.flux:calibrate_flux",
            "Measure the zero point of an exposure and give its sources AB magnitudes",
        ),
        Stage(
            "measure_colour_terms",
            f"{stages}.colour_terms:measure_colour_terms",
            "Measure how magnitudes in a filter follow from Gaia's photometry",
        ),
    ]


@hookimpl
def csst_definitions() -> list[Definition]:
    """Return the definitions of this plugin."""
    return [
        Definition(
            "reference_stars",
            "definitions/reference_stars.toml",
            "Reference stars with proper motions",
        ),
        Definition(
            "distortion",
            "definitions/distortion.toml",
            "Distortion of the detectors of a focal plane",
        ),
        Definition(
            "colour_terms",
            "definitions/colour_terms.toml",
            "Relation of a filter to Gaia's photometry",
        ),
        Definition(
            "psfex",
            "definitions/psfex.toml",
            "Point-spread function in a file of PSFEx",
        ),
    ]


@hookimpl
def csst_references() -> list[ReferenceType]:
    """Return the reference types that the stages ask for."""
    return [
        ReferenceType(
            "stray_light",
            "toml",
            "Ghosts and scattered light of bright stars",
            product="csst_imaging.stray_light:StrayLight",
        ),
        ReferenceType(
            "stars",
            "fits",
            "Reference stars with positions, proper motions and magnitudes",
            definition="imaging.reference_stars",
        ),
        ReferenceType(
            "distortion",
            "fits",
            "Distortion of the detectors of a focal plane: polynomials and table of residuals",
            definition="imaging.distortion",
        ),
        ReferenceType(
            "colour_terms",
            "fits",
            "Relation of a filter to Gaia's photometry",
            definition="imaging.colour_terms",
        ),
        ReferenceType(
            "passbands",
            "toml",
            "Throughput and nominal zero point of the filters",
            product="csst_imaging.flux.passbands:Passbands",
        ),
    ]


@hookimpl
def csst_checks() -> list[Check]:
    """Return the quality checks of this plugin."""
    checks = "csst_imaging.checks"
    return [
        Check(
            "sky_level",
            f"{checks}:sky_level",
            "Median of the unflagged pixels, in the unit of the image",
        ),
        Check(
            "sky_rms",
            f"{checks}:sky_rms",
            "Robust standard deviation of the unflagged pixels, in the unit of the image",
        ),
        Check(
            "flagged_fraction",
            f"{checks}:flagged_fraction",
            "Fraction of the pixels with any flag",
        ),
        Check(
            "astrometric_rms",
            f"{checks}:astrometric_rms",
            "Scatter of the matched stars about the solution, in mas (the worse axis)",
        ),
        Check(
            "number_of_sources",
            f"{checks}:number_of_sources",
            "Count of the sources in a catalogue",
        ),
        Check(
            "fwhm",
            f"{checks}:fwhm",
            "Median FWHM of bright point-like sources, in pixels",
        ),
        Check(
            "model_chi2",
            f"{checks}:model_chi2",
            "Median chi squared per degree of freedom of the modelled galaxies",
        ),
        Check(
            "zero_point",
            f"{checks}:zero_point",
            "Zero point of the magnitudes of a catalogue",
        ),
        Check(
            "zero_point_rms",
            f"{checks}:zero_point_rms",
            "Scatter of the reference stars about the zero point, in mag",
        ),
        Check(
            "limiting_magnitude",
            f"{checks}:limiting_magnitude",
            "Median magnitude of the sources at a signal-to-noise ratio of 5",
        ),
        Check(
            "relation_error",
            f"{checks}:relation_error",
            "Error of the colour terms at the middle of their stars, in mag",
        ),
        Check(
            "psf_fwhm",
            "csst_imaging.checks_psf:psf_fwhm",
            "Median FWHM of the PSF over the field, in pixels",
        ),
        Check(
            "psf_ellipticity",
            "csst_imaging.checks_psf:psf_ellipticity",
            "Largest ellipticity of the PSF over the field",
        ),
    ]


@hookimpl
def csst_figures() -> list[Figure]:
    """Return the figures of this plugin."""
    figures = "csst_imaging.figures"
    return [
        Figure("preview", f"{figures}:preview", "Image, binned, and where it is flagged"),
        Figure(
            "source_map",
            f"{figures}:source_map",
            "Positions of the sources, and their sizes against brightness",
        ),
        Figure(
            "growth_curves",
            f"{figures}:growth_curves",
            "Growth of the flux of bright stars with the radius of the aperture",
        ),
        Figure(
            "zero_point",
            f"{figures}:zero_point",
            "Residuals of the reference stars about the zero point, by colour and magnitude",
        ),
        Figure(
            "psf_field",
            "csst_imaging.figures_psf:psf_field",
            "Show the PSF at places of the field, its width and its ellipticity",
        ),
    ]
