"""Simulated cubes of a coronagraph as the products that the stages of Level 2 take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csst_cpic.stages.measure_star import measure_star
from csst_cpic.star.reduction import Reduction
from csst_sim.cpic.direct import SimulatedCube, simulate_cube
from csstcore.api import Cube, Image, Meta, Table

PIXEL_MAS = 20.0
CUBE: dict[str, Any] = {
    "frames": 20,
    "size": 101,
    "rotation_deg": 90.0,
    "pixel_lambda_d": 0.35,
    "star_electron": 1e11,
    "raw_contrast": 1e-8,
    "drift_fraction": 0.1,
    "drift_frames": 10.0,
}
"""Photon noise and residual speckles are about as strong as each other."""


@dataclass(frozen=True)
class Observed:
    """A cube with what belongs to it."""

    simulated: SimulatedCube
    cube: Cube
    frames: Table
    star: Image
    reduction: Reduction

    @property
    def settings(self) -> Table:
        """The reduction as the stages take it."""
        return Table(self.reduction.to_table())


def observed(
    planets: Sequence[tuple[float, float, float]] = (), *, seed: int = 1, **changes: Any
) -> Observed:
    """Simulate a star with planets (separation in pixels, position angle, contrast).

    Keywords are those of the simulator, or of `Reduction`.
    """
    settings = {k: changes.pop(k) for k in tuple(changes) if k in Reduction.__dataclass_fields__}
    simulated = simulate_cube(planets, seed=seed, **(CUBE | changes))
    number = len(simulated.cube)
    frames = QTable(
        {
            "plane": np.arange(number),
            "position_angle": simulated.angles_deg * u.deg,
            "exposure_time": np.full(number, 10.0) * u.s,
        }
    )
    meta = Meta(instrument="CPIC", object="star", exposure_time=10.0 * u.s)
    beside = Image(simulated.psf, u.electron, meta=meta)
    reduction = Reduction(
        **{
            "fwhm_pixel": simulated.fwhm_pixel,
            "inner_radius_pixel": 12.0,
            "outer_radius_pixel": 46.0,
            "annulus_width_pixel": 8.0,
            "pixel_scale_arcsec": PIXEL_MAS / 1e3,
            "components": 5,
            **settings,
        }
    )
    cube = Cube(simulated.cube, u.electron, meta=meta)
    return Observed(simulated, cube, Table(frames), measure_star([beside]), reduction)
