"""What detectors, exposures and skies a network is trained for: ranges of everything drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Ranges that the settings of a field are drawn from; the default is any CCD camera.

    From a dark frame of a sharp telescope in space to a bright sky and poor seeing on the ground.
    """

    thickness_um: Range = (10.0, 50.0)
    pixel_um: Range = (9.0, 24.0)
    diffusion_pixel: Range = (0.0, 0.5)
    fwhm_pixel: Range = (1.5, 6.0)
    background_electron: Range = (0.3, 1e4)
    """Sky and dark current, drawn evenly in the logarithm."""
    read_noise_electron: Range = (2.0, 15.0)
    gain_electron_per_adu: Range = (0.5, 3.0)
    full_well_electron: Range = (5e4, 2e5)
    rate: Range = (0.1, 2.0)
    """Particles per pixel over `HITS_PER_PIXEL`."""
    stars_per_pixel: Range = (3e-5, 2e-3)
    galaxies_per_pixel: Range = (5e-5, 1e-3)
    resampled_share: float = 0.15
    """Share of fields that were shifted by a fraction of a pixel: neighbours share noise."""


EXPOSURE_SECOND = (75.0, 300.0)
SKY_FACTOR = (0.7, 2.0)
"""Sky over the mean sky of a filter: zodiacal light and stray light vary."""
SPREAD = 0.1
"""Read noise, gain and full well of a device differ from the nominal ones by as much."""


def domain_of(table: Mapping[str, Any], detector: int | None = None) -> Domain:
    """Return the domain of one detector of a camera, or of all that have a filter.

    Parameters
    ----------
    table
        The camera: ``read_noise_electron``, ``dark_electron_per_s``, ``full_well_electron``, a
        list ``detectors`` with ``number`` and ``filter``, and by filter in ``bands`` the
        ``sky_electron_per_s`` of a pixel. The table ``detectors/msc.toml`` of csst-msc is one.
    detector
        Number of the detector; None for the whole camera.

    Raises
    ------
    KeyError
        If the table lacks the detector, its filter or one of these entries.
    """
    filters = {entry["number"]: entry["filter"] for entry in table["detectors"]}
    bands = table["bands"].values() if detector is None else [table["bands"][filters[detector]]]
    sky = [band["sky_electron_per_s"] for band in bands]
    dark = table["dark_electron_per_s"]
    return replace(
        Domain(),
        thickness_um=(12.0, 30.0),
        pixel_um=(10.0, 10.0),
        diffusion_pixel=(0.0, 0.4),
        fwhm_pixel=(1.9, 2.6),
        rate=(0.5, 2.0),
        resampled_share=0.0,
        background_electron=(
            (SKY_FACTOR[0] * min(sky) + dark) * EXPOSURE_SECOND[0],
            (SKY_FACTOR[1] * max(sky) + dark) * EXPOSURE_SECOND[1],
        ),
        read_noise_electron=_around(table["read_noise_electron"]),
        gain_electron_per_adu=_around(1.1),
        full_well_electron=_around(table["full_well_electron"]),
    )


def _around(value: float) -> Range:
    return value * (1 - SPREAD), value * (1 + SPREAD)
