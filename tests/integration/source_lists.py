"""Source lists of whole exposures from the simulator's truth, without pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from numpy.typing import NDArray

from csst_imaging.position.tpv import with_size
from csst_sim.direct import shot_of
from csst_sim.focal_plane import footprint
from csst_sim.gaia import observe_stars
from csst_sim.plan import Plan, parse_plan
from csst_sim.sky import draw_stars, move_to_epoch
from csstcore.api import Table, replace

OTHERS = 150


@dataclass(frozen=True)
class Truth:
    """Stars on one detector."""

    pixel: NDArray[np.float64]
    """Shape (n, 2)."""
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]

    def rms_mas(self, wcs) -> float:
        """Return the error of a solution per axis."""
        ra, dec = wcs.wcs_pix2world(self.pixel, 1).T
        east = (ra - self.ra) * np.cos(np.radians(self.dec))
        return float(np.sqrt(np.mean([east**2, (dec - self.dec) ** 2]))) * 3.6e6


@dataclass
class Night:
    """Catalogues of some exposures, with reference stars and truth."""

    catalogs: list[Table] = field(default_factory=list)
    truth: list[Truth] = field(default_factory=list)
    stars: list[Table] = field(default_factory=list)
    """The reference stars of each catalogue."""

    def all_stars(self) -> Table:
        """Return the reference stars of all."""
        table = vstack([one.table for one in self.stars], metadata_conflicts="silent")
        _, first = np.unique(table["ra"].value, return_index=True)
        return Table(table[first])


def make_plan(exposures: int, detectors: list[int], stars_per_arcmin2: float = 3.0) -> Plan:
    """Return a plan of dithered exposures; position angles differ by 20 degrees."""
    values = [
        {
            "obs_id": f"101{number:08d}",
            "time": f"2028-{1 + number % 12:02d}-01T00:00:00Z",
            "ra_deg": 180.0 + 0.02 * (number % 3),
            "dec_deg": 30.0 + 0.02 * (number // 3),
            "position_angle_deg": 113.4333 + 20.0 * number,
        }
        for number in range(exposures)
    ]
    sky = {
        "stars_per_arcmin2": stars_per_arcmin2,
        "star_g_mag": [14.0, 20.5],
        "star_slope": 0.25,
    }
    plan = {"name": "lists", "kind": "imaging", "detectors": detectors, "sky": sky}
    return parse_plan({**plan, "exposure": values}, "lists")


def observe(
    plan: Plan, exposure: int, faintest: dict[int, float] | None = None, warp_pixel: float = 0.0
) -> Night:
    """Return what would be catalogued of one exposure.

    Parameters
    ----------
    plan, exposure
        The plan, and the number of its exposure.
    faintest
        G magnitude to which a detector sees stars, by detector; 20.5 for others.
    warp_pixel
        Amplitude of a displacement with a period of 4,600 pixels, the same in all exposures.
    """
    rng = np.random.default_rng([7, exposure])
    night = Night()
    drawn = []
    for detector in plan.detectors:
        shot = shot_of(plan, plan.exposure[exposure].obs_id, detector)
        columns, rows = shot.readout.columns, shot.readout.rows
        stars = draw_stars(*footprint(shot.exposure, detector, shot.optics, shot.readout), shot.sky)
        ra, dec = move_to_epoch(stars, shot.epoch_year)
        pixel = np.stack(shot.placement.pixels(ra, dec), axis=-1)
        pixel += warp_pixel * np.sin(2 * np.pi * pixel[:, ::-1] / 4600.0)
        on = np.all((pixel > 1) & (pixel < [columns, rows]), axis=1)
        g = stars["g_mag"].value
        seen = on & (g < (faintest or {}).get(detector, 20.5)) & (rng.random(len(g)) < 0.93)
        error = np.hypot(0.008, 0.012 * 10 ** (0.2 * (g[seen] - 18)))
        at = pixel[seen] + rng.normal(size=(seen.sum(), 2)) * error[:, None]
        at = np.vstack([at, rng.uniform(1, [columns, rows], (OTHERS, 2))])
        magnitude = np.append(g[seen] + rng.normal(0, 0.3, seen.sum()), rng.uniform(18, 25, OTHERS))
        error = np.append(error, np.full(OTHERS, 0.05)) * u.pixel
        table = QTable({"x": at[:, 0] * u.pixel, "y": at[:, 1] * u.pixel})
        table["id"] = np.arange(1, len(at) + 1)
        table["x_error"] = table["y_error"] = error
        table["flux_kron"] = 10 ** (0.4 * (25 - magnitude)) * u.electron / u.s
        table["flags"] = np.zeros(len(at), int)
        meta = replace(shot.meta, end_time=shot.meta.time + 150 * u.s)
        wcs = with_size(shot.placement.nominal, (rows, columns))
        night.catalogs.append(Table(table, meta=meta, wcs=wcs))
        night.truth.append(Truth(pixel[on], ra[on], dec[on]))
        drawn.append(stars)
    everything = vstack(drawn, metadata_conflicts="silent")
    _, first = np.unique(everything["id"], return_index=True)
    listed = Table(observe_stars(everything[first], np.random.default_rng(1)))
    night.stars = [listed] * len(night.catalogs)
    return night
