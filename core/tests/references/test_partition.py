"""A star catalogue in cells of the sky, in Parquet files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest

from csstcore.definitions.catalog import Definitions
from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.plugin import ReferenceType
from csstcore.products import Meta, Table
from csstcore.references import NoReferenceError, ReferenceStore, load_reference
from csstcore.references.partition import Partition
from csstcore.references.rules import parse_rules

from .conftest import make_registry, write_stars

pytest.importorskip("pyarrow")
healpix = pytest.importorskip("astropy_healpix")

NSIDE = 16
HEAD = f"""[reference]
type = "calib.stars"
partition = {{ by = "healpix", nside = {NSIDE}, order = "nested", radius_degree = 1.0 }}
"""
RA, DEC = 150.0, 2.2


def pointing(ra: float = RA, dec: float = DEC) -> Meta:
    return Meta(right_ascension=ra * u.deg, declination=dec * u.deg)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ReferenceStore:
    """Every cell within 8 degrees of the pointing, each with 200 stars inside."""
    tmp_path = tmp_path_factory.mktemp("stars")
    registry = make_registry(tmp_path / "plugin")
    rules = tmp_path / "refs" / "rules"
    rules.mkdir(parents=True)
    (rules / "calib.stars.toml").write_text(HEAD)
    store = ReferenceStore(tmp_path / "refs", registry)
    grid = healpix.HEALPix(NSIDE, "nested")
    rng = np.random.default_rng(3)
    for cell in grid.cone_search_lonlat(RA * u.deg, DEC * u.deg, 8 * u.deg):
        lon, lat = grid.healpix_to_lonlat(
            np.full(200, cell), rng.uniform(size=200), rng.uniform(size=200)
        )
        path = write_stars(tmp_path / f"stars_{cell:05d}.parquet", lon.to_value("deg"), lat)
        store.add("calib.stars", path, {"cell": int(cell)})
    return store


def load(store: ReferenceStore, meta: Meta) -> Table:
    choice = store.choose("calib.stars", meta)
    declaration = store.registry.get(ReferenceType, "calib.stars").declaration
    loaded: Table = load_reference(choice, declaration, Table, Definitions(store.registry))
    return loaded


def test_the_stage_gets_one_table_with_every_star_in_reach(store: ReferenceStore) -> None:
    from astropy.coordinates import SkyCoord

    rng = np.random.default_rng(4)
    every = load(store, pointing())
    for ra, dec in zip(RA + rng.uniform(-4, 4, 10), DEC + rng.uniform(-4, 4, 10), strict=True):
        table = load(store, pointing(ra, dec)).table
        assert len(table) % 200 == 0
        assert table["ra"].unit == u.deg
        center = SkyCoord(ra, dec, unit="deg")
        files = list((Path(str(store.folder)) / "files").rglob("*.parquet"))
        assert len(table) < 200 * len(files)
        stars = {(a, b) for a, b in zip(table["ra"].value, table["dec"].value, strict=True)}
        others = every.table[
            SkyCoord(every.table["ra"], every.table["dec"]).separation(center) < 1 * u.deg
        ]
        assert {(a, b) for a, b in zip(others["ra"].value, others["dec"].value, strict=True)} <= (
            stars
        )


def test_a_choice_of_several_files_names_them_all(store: ReferenceStore) -> None:
    choice = store.choose("calib.stars", pointing())
    assert len(choice.files) > 1
    assert choice.name.count("stars_") == len(choice.files)
    elsewhere = store.choose("calib.stars", pointing(RA + 3, DEC))
    assert choice.sha256 != elsewhere.sha256


def test_a_missing_cell_is_an_error_and_not_an_empty_sky(store: ReferenceStore) -> None:
    with pytest.raises(ReferenceFileError, match=r"no rule for cell \d+") as caught:
        store.choose("calib.stars", pointing(RA, DEC + 10))
    assert not isinstance(caught.value, NoReferenceError)
    with pytest.raises(NoReferenceError, match=r"it wants cell \d+, the observation has cell"):
        store.choose("calib.stars", pointing(RA + 120, DEC))


def test_without_a_pointing_no_cell_is_touched(store: ReferenceStore) -> None:
    with pytest.raises(NoReferenceError, match="the observation has no cell"):
        store.choose("calib.stars", Meta())


def test_a_cell_that_changed_on_disk_is_refused(store: ReferenceStore, tmp_path: Path) -> None:
    copy = shutil.copytree(str(store.folder), tmp_path / "refs")
    store = ReferenceStore(copy, store.registry)
    path = store.choose("calib.stars", pointing()).files[1].path
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ReferenceFileError, match=f"{path.name}: sha256 is"):
        load(store, pointing())


@pytest.mark.parametrize("order", ["nested", "ring"])
def test_cells_are_those_around_the_pointing(order: Any) -> None:
    partition = Partition(by="healpix", nside=64, order=order, radius_degree=0.5)
    grid = healpix.HEALPix(64, order)
    for ra, dec in ((0.01, 0.0), (359.99, 45.0), (180.0, 89.9), (12.0, -89.99)):
        found = set(partition.cells(pointing(ra, dec)))
        assert int(grid.lonlat_to_healpix(ra * u.deg, dec * u.deg)) in found
        assert 1 < len(found) < 12


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("nside = 16", "nside = 17", "nside is a power of two"),
        ('"healpix"', '"bricks"', "'healpix'"),
        ("radius_degree = 1.0", "radius_degree = 0", "greater than 0"),
        ("cell = 3", "detector = 3", "match: cell is missing"),
        ("cell = 3", "cell = { minimum = 3 }", "a number or a list of numbers"),
        ("partition", "#", "cell is given, but there is no partition"),
    ],
)
def test_a_wrong_partition_is_refused(old: str, new: str, cause: str) -> None:
    text = f'{HEAD}[[rule]]\nfile = "a"\nmatch = {{ cell = 3 }}\n'.replace(old, new, 1)
    with pytest.raises(ConfigurationError, match=cause):
        parse_rules(text.encode(), Path("x.toml"), "calib.stars", need_sha256=False)


def test_without_astropy_healpix_the_error_says_what_to_install(
    store: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "astropy_healpix", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'csstcore\[healpix\]'"):
        store.choose("calib.stars", pointing())
