"""Mistaken files and rules are refused where they are met, and stop nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from csstcore.cli.refs.options import start_of
from csstcore.definitions.catalog import Definitions
from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.plugin import ReferenceType
from csstcore.plugins.registry import Registry
from csstcore.products import Image, Meta
from csstcore.references import Choice, ReferenceStore, load_reference
from csstcore.references.digest import file_sha256
from csstcore.references.kinds import reference_problems

from .conftest import sha256, write_bias

DETECTOR_7 = Meta(instrument="MSC", detector=7)


@pytest.fixture
def store(tmp_path: Path, registry: Registry) -> ReferenceStore:
    return ReferenceStore(tmp_path / "refs", registry)


def load(choice: Choice, registry: Registry) -> Image:
    declaration = registry.get(ReferenceType, "calib.bias").declaration
    image: Image = load_reference(choice, declaration, Image, Definitions(registry))
    return image


def test_an_override_of_another_type_is_refused_when_it_is_read(
    registry: Registry, tmp_path: Path
) -> None:
    flat = write_bias(tmp_path / "flat.fits", KIND="FLAT")
    choice = Choice("calib.bias", flat, file_sha256(flat), "override")
    with pytest.raises(ReferenceFileError, match=r"is no calib\.bias: keyword KIND: found 'FLAT'"):
        load(choice, registry)


def test_a_file_of_another_detector_than_its_rule_is_refused(
    registry: Registry, store: ReferenceStore, tmp_path: Path
) -> None:
    other = write_bias(tmp_path / "other.fits", detector=8)
    store.add("calib.bias", other, {"detector": 7})
    choice = ReferenceStore(tmp_path / "refs", registry).choose("calib.bias", DETECTOR_7)
    with pytest.raises(ReferenceFileError, match="detector: the rule wants 7, the file has 8"):
        load(choice, registry)


def test_names_that_lead_out_of_the_store_are_never_taken_over(
    store: ReferenceStore, tmp_path: Path
) -> None:
    bias = write_bias(tmp_path / "bias.fits")
    rules = tmp_path / "refs" / "rules" / "foo.bar.toml"
    rules.parent.mkdir(parents=True)
    digest = sha256(bias.read_bytes())
    rules.write_text(f'[[rule]]\nfile = "../../../evil.fits"\nsha256 = "{digest}"\nmatch = {{}}\n')
    entry = store.add("calib.bias", bias, {"detector": 7})
    assert entry.rule.file == "bias.fits"
    assert not list(tmp_path.glob("evil*"))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("rules/calib.network.toml", "rule = 3"),
        ("contexts/a.toml", 'rules = [{ reference = "x" }]'),
        ("contexts/b.toml", "rules = 3"),
        ("rules/calib.stars.toml", None),
    ],
)
def test_one_malformed_file_does_not_stop_adding_to_another_type(
    store: ReferenceStore, tmp_path: Path, path: str, text: str | None
) -> None:
    malformed = tmp_path / "refs" / path
    malformed.parent.mkdir(parents=True)
    if text is None:
        malformed.mkdir()
    else:
        malformed.write_text(text)
    bias = write_bias(tmp_path / "bias.fits")
    assert store.add("calib.bias", bias, {"detector": 7}).path.is_file()


def test_the_same_command_mends_a_damaged_file(store: ReferenceStore, tmp_path: Path) -> None:
    bias = write_bias(tmp_path / "bias.fits")
    stored = store.add("calib.bias", bias, {"detector": 7}).path
    stored.write_bytes(b"flipped")
    store.add("calib.bias", bias, {"detector": 7})
    assert stored.read_bytes() == bias.read_bytes()


def test_an_ambiguous_rule_is_told_the_way_out(store: ReferenceStore, tmp_path: Path) -> None:
    store.add("calib.bias", write_bias(tmp_path / "a.fits"), {"detector": 7})
    with pytest.raises(ReferenceFileError, match="give a later --useafter, or delete that rule"):
        store.add("calib.bias", write_bias(tmp_path / "b.fits", NOTE="x"), {"detector": 7})


def test_a_stored_file_need_not_be_called_as_its_definition_says(
    registry: Registry, tmp_path: Path
) -> None:
    declared = registry.get(ReferenceType, "calib.bias")
    definition = tmp_path / "plugin" / "bias.toml"
    definition.write_text(
        definition.read_text()
        + '\n[file]\nname = "{what}.fits"\n[file.fields]\nwhat = { pattern = "master" }\n'
    )
    definitions = Definitions(registry)
    bias = write_bias(tmp_path / "master-2b5dfb6e.fits")
    arguments = (bias, "calib.bias", declared.declaration, definitions)
    assert reference_problems(*arguments, named=False) == []
    assert "file name" in reference_problems(*arguments)[0]


def test_a_reader_of_the_index_does_not_stop_adding(store: ReferenceStore, tmp_path: Path) -> None:
    store.add("calib.bias", write_bias(tmp_path / "a.fits"), {"detector": 7})
    with closing(sqlite3.connect(tmp_path / "refs" / "index.sqlite")) as database:
        rows = database.execute("SELECT file FROM rule")
        assert rows.fetchone() == ("a.fits",)
        store.add("calib.bias", write_bias(tmp_path / "b.fits", detector=8), {"detector": 8})
    with closing(sqlite3.connect(tmp_path / "refs" / "index.sqlite")) as database:
        assert len(database.execute("SELECT file FROM rule").fetchall()) == 2


def test_a_store_that_does_not_exist_is_not_frozen(store: ReferenceStore) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        store.freeze("x")


def test_a_start_out_of_range_is_told() -> None:
    with pytest.raises(ConfigurationError, match="--useafter"):
        start_of("0001-01-01T00:00:00+14:00")
