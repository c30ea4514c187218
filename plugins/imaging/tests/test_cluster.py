"""`solve_position` in the cores of globular clusters: Gaia's stars as catalogue and as sky."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.time import Time
from scipy.spatial import cKDTree

from csst_imaging.position.epoch import stars_at
from csst_imaging.position.tpv import tangent_wcs
from csst_imaging.stages import position
from csstcore.api import Image, Meta, Table

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("CSST_TEST_DATA" not in os.environ, reason="needs CSST_TEST_DATA"),
]

SHAPE = (9232, 9216)
TIME = Time("2028-06-01T00:00:00")
FWHM_PIXEL = 2.2
NAMES = ("ra", "dec", "parallax", "pmra", "pmra_error", "pmdec", "pmdec_error", "g_mag")
CLUSTERS = ("gaia_edr3_ngc6558.dat.gz", "gaia_dr3_ngc6441.csv.gz", "gaia_dr3_ngc6453.csv.gz")


def read_stars(name: str) -> QTable:
    """Return the stars of a file; position errors are taken from those of the motions."""
    path = Path(os.environ["CSST_TEST_DATA"]) / "catalogues" / name
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    if name.endswith(".csv.gz"):
        header = lines[0].split(",")
        wanted = [header.index(n.replace("g_mag", "phot_g_mean_mag")) for n in NAMES]
        cells = [line.split(",") for line in lines[1:]]
    else:
        wanted = [1, 2, 3, 5, 6, 7, 8, 9]
        cells = [line.split() for line in lines[1:]]
    rows = np.array([[float(row[k] or "nan") for k in wanted] for row in cells])
    table = QTable(dict(zip(NAMES, rows.T, strict=True)))
    error = np.where(np.isfinite(table["pmra_error"]), 0.8 * table["pmra_error"], 1.5)
    table["ra_error"] = table["dec_error"] = error * u.mas
    for column in ("ra", "dec"):
        table[column] = table[column] * u.deg
    table["parallax"] = table["parallax"] * u.mas
    for column in ("pmra", "pmra_error", "pmdec", "pmdec_error"):
        table[column] = table[column] * u.mas / u.yr
    table["g_mag"] = table["g_mag"] * u.mag
    table["epoch"] = np.full(len(table), 2016.0) * u.yr
    return table[np.isfinite(table["g_mag"])]


@dataclass
class Cluster:
    """A cluster as seen, and its truth."""

    image: Image
    sources: Table
    stars: Table
    pixel: np.ndarray
    """True pixels of the stars on the detector."""
    sky: np.ndarray
    """Their true places, (2, n) deg."""
    star: np.ndarray
    """Which of them each source is, -1 for sources that are none."""
    number: np.ndarray
    """Rows of these stars in the catalogue."""


def observe(name: str, seed: int) -> Cluster:
    """Put a cluster on a detector: 20 arcsec and 0.8 deg off, distorted, blended, noisy.

    Stars nearer than 1.5 FWHM to a brighter one are lost in it, and pull it by their light.
    """
    rng = np.random.default_rng(seed)
    table = read_stars(name)
    now = stars_at(table, TIME)
    moved = np.stack([now.ra_deg, now.dec_deg]) + rng.normal(0, 1, (2, len(now))) * np.where(
        now.error_mas < 50, now.error_mas, 0
    ) / 3.6e6 / np.stack([np.cos(np.radians(now.dec_deg)), np.ones(len(now))])
    center = np.median(moved, axis=1)
    cd = 0.074 / 3600 * np.array([[-0.4, -0.9165], [0.9165, -0.4]])
    turn = np.radians(0.8)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ cd
    off = center + np.array([0.005 / np.cos(np.radians(center[1])), -0.003])
    ideal = tangent_wcs((4608.5, 4616.5), *off, turned).wcs_world2pix(moved.T, 1)
    x, y = (ideal - 4612.0).T / 4612.0
    pixel = ideal + np.stack([4 * x * x - 2 * x * y + y**3, 3 * y * y + x * x * y], axis=-1)
    on = np.all((pixel > 1) & (pixel < SHAPE[1]), axis=1)
    pixel, moved, g = pixel[on], moved[:, on], now.magnitude[on]
    flux = 10 ** (-0.4 * (g - 20))
    at, kept = pixel.copy(), np.ones(len(g), bool)
    order = np.argsort(g)
    near = cKDTree(pixel).query_ball_point(pixel, 1.5 * FWHM_PIXEL)
    for k in order:
        if kept[k]:
            others = [j for j in near[k] if j != k and kept[j]]
            members = [k, *others]
            at[k] = np.average(pixel[members], axis=0, weights=flux[members])
            kept[others] = False
    which = np.flatnonzero(kept & (rng.random(len(g)) < 0.95))
    error = 0.01 * 10 ** (0.2 * np.maximum(g[which] - 18, 0))
    spots = at[which] + rng.normal(0, 1, (len(which), 2)) * error[:, None]
    others = len(which) // 2
    extra = pixel[rng.integers(0, len(pixel), others)] + rng.normal(0, 30, (others, 2))
    spots = np.vstack([spots, extra])
    seen = np.append(g[which] + rng.normal(0, 0.4, len(which)), rng.uniform(19, 23, others))
    error = np.append(error, np.full(others, 0.06))
    sources = QTable(
        {
            "x": spots[:, 0] * u.pixel,
            "y": spots[:, 1] * u.pixel,
            "x_error": error * u.pixel,
            "y_error": error * u.pixel,
            "flux_isophotal": 10 ** (-0.4 * (seen - 20)),
            "flags": np.where(seen < 15.5, 4, 0),
            "converged": np.ones(len(spots), bool),
        }
    )
    image = Image(
        np.broadcast_to(np.float32(0), SHAPE),
        wcs=tangent_wcs((4608.5, 4616.5), *center, cd),
        meta=Meta(time=TIME),
    )
    star = np.append(which, np.full(others, -1))
    return Cluster(image, Table(sources), Table(table), pixel, moved, star, np.flatnonzero(on))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", CLUSTERS)
def test_the_core_of_a_globular_cluster_is_solved(name, seed, monkeypatch):
    cluster = observe(name, seed)
    kept = {}

    def keep(_, plane, spots, lists, solution):
        here, there = solution.pairs.T
        kept.update(place=spots.pixel[here], star=lists.star[there], plane=plane)

    monkeypatch.setattr(position, "report_residuals", keep)
    wcs = position.solve_position(cluster.image, cluster.sources, cluster.stars).wcs
    error = (wcs.wcs_pix2world(cluster.pixel, 1).T - cluster.sky) * 3.6e6
    assert np.sqrt(np.mean(error**2)) < 1.5
    place = np.stack([cluster.sources.table[axis].value for axis in "xy"], axis=-1)
    distance, source = cKDTree(place).query(kept["place"])
    assert distance.max() == 0.0
    listed = stars_at(cluster.stars.table, TIME)
    seen = kept["plane"].seen(listed.ra_deg, listed.dec_deg)
    _, number = cKDTree(seen).query(kept["star"])
    right = cluster.number[cluster.star[source]] == number
    right &= cluster.star[source] >= 0
    assert np.mean(right) > 0.99
    assert np.count_nonzero(right) > 0.6 * np.count_nonzero(cluster.star >= 0)
