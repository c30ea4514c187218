"""What csst-mbi declares."""

from __future__ import annotations

from csstcore.plugin import Pipeline, hookimpl


@hookimpl
def csst_pipelines() -> list[Pipeline]:
    """Return the pipelines of this plugin."""
    return [
        Pipeline(
            "l1",
            "pipelines/l1.toml",
            "Calibrate an imaging exposure of one detector and catalogue its sources",
        ),
        Pipeline(
            "galaxy_models",
            "pipelines/galaxy_models.toml",
            "Fit bulges, disks and Sersic profiles to the galaxies of a Level 1 image",
        ),
        Pipeline(
            "position",
            "pipelines/position.toml",
            "Refine the positions of one exposure with all its detectors together",
        ),
        Pipeline(
            "make_distortion",
            "pipelines/make_distortion.toml",
            "Make the distortion reference from catalogues of star fields",
        ),
        Pipeline(
            "make_colour_terms",
            "pipelines/make_colour_terms.toml",
            "Measure the colour terms of a filter from catalogues of standard fields",
        ),
    ]
