from __future__ import annotations

import multiprocessing
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from astropy.time import Time

from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.plugins.registry import Registry
from csstcore.products import Meta
from csstcore.references import NoReferenceError, ReferenceStore

from .conftest import make_registry, sha256

DETECTOR_7 = Meta(instrument="MSC", detector=7, time=Time("2027-03-01"), readout="920x608")


def files_of(folder: Path) -> list[Path]:
    return [path for path in (folder / "files").rglob("*") if path.is_file()]


@pytest.fixture
def store(tmp_path: Path, registry: Registry) -> ReferenceStore:
    return ReferenceStore(tmp_path / "refs", registry)


def test_an_added_reference_is_chosen(store: ReferenceStore, reference: Path) -> None:
    store.add("calib.bias", reference, {"detector": 7})
    choice = store.choose("calib.bias", DETECTOR_7)
    assert choice.path.name == "bias_07.fits"
    assert choice.path.read_bytes() == reference.read_bytes()
    assert choice.sha256 == sha256(reference.read_bytes())
    assert (choice.source, choice.rule) == ("store", 1)


def test_a_shipped_reference_is_chosen_without_a_store(registry: Registry) -> None:
    choice = ReferenceStore(None, registry).choose("calib.readout", DETECTOR_7)
    assert (choice.path.name, choice.source) == ("small.toml", "shipped")
    assert choice.sha256 == sha256(b"rows = 608\n")


def test_without_a_store_a_missing_reference_says_so(
    registry: Registry, store: ReferenceStore, reference: Path
) -> None:
    with pytest.raises(NoReferenceError, match="there are no rules for it; no reference store"):
        ReferenceStore(None, registry).choose("calib.bias", DETECTOR_7)
    store.add("calib.bias", reference, {"detector": 8})
    with pytest.raises(NoReferenceError, match=r"has detector 7$"):
        store.choose("calib.bias", DETECTOR_7)


def test_the_store_wins_over_shipped_references(store: ReferenceStore, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("rows = 1\n")
    store.add("calib.readout", mine, {"detector": 7})
    assert store.choose("calib.readout", DETECTOR_7).path.name == "mine.toml"
    other = Meta(detector=8, readout="920x608")
    assert store.choose("calib.readout", other).source == "shipped"


def test_an_override_wins_over_everything(registry: Registry, reference: Path) -> None:
    store = ReferenceStore(None, registry, {"calib.bias": reference})
    choice = store.choose("calib.bias", Meta())
    assert (choice.path, choice.source, choice.rule) == (reference, "override", None)


def test_wrong_overrides_are_all_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReferenceStore(None, registry, {"calib.bais": tmp_path / "no.fits"})
    assert "did you mean 'calib.bias'" in str(caught.value)
    assert "is not a file" in str(caught.value)


def test_the_same_bytes_are_stored_once(
    store: ReferenceStore, reference: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "twin.fits"
    twin.write_bytes(reference.read_bytes())
    store.add("calib.bias", reference, {"detector": 7})
    entry = store.add("calib.bias", twin, {"detector": 8})
    assert entry.rule.file == "bias_07.fits"
    assert len(files_of(Path(store.folder or tmp_path))) == 1


def test_two_files_of_one_name_are_kept_apart(
    store: ReferenceStore, reference: Path, tmp_path: Path
) -> None:
    other = tmp_path / "new" / "bias_07.fits"
    other.parent.mkdir()
    other.write_bytes(b"another bias")
    store.add("calib.bias", reference, {"detector": 7})
    entry = store.add("calib.bias", other, {"detector": 8})
    assert entry.rule.file == f"bias_07-{sha256(b'another bias')[:8]}.fits"
    assert entry.path.read_bytes() == b"another bias"


def test_adding_again_changes_nothing(store: ReferenceStore, reference: Path) -> None:
    store.add("calib.bias", reference, {"detector": 7})
    rules = Path(store.folder or "") / "rules" / "calib.bias.toml"
    before = rules.read_bytes()
    assert store.add("calib.bias", reference, {"detector": 7}).number == 1
    assert rules.read_bytes() == before


def test_an_ambiguous_rule_is_refused_and_nothing_changes(
    store: ReferenceStore, reference: Path, tmp_path: Path
) -> None:
    store.add("calib.bias", reference, {"detector": [6, 7]})
    other = tmp_path / "other.fits"
    other.write_bytes(b"other")
    with pytest.raises(ReferenceFileError, match="ambiguous with rule 1"):
        store.add("calib.bias", other, {"detector": [7, 8]})
    assert len(files_of(Path(store.folder or tmp_path))) == 1
    assert len(store.list("calib.bias")) == 1


def test_comments_in_a_rule_file_live(store: ReferenceStore, reference: Path) -> None:
    store.add("calib.bias", reference, {"detector": 7})
    rules = Path(store.folder or "") / "rules" / "calib.bias.toml"
    rules.write_text(rules.read_text().replace("[[rule]]", "# from run 12  \n[[rule]]  # good"))
    before = rules.read_text()
    start = datetime(2027, 2, 1, tzinfo=UTC)
    store.add("calib.bias", reference, {"temperature": {"minimum": 150.0}}, start)
    assert rules.read_text().startswith(before)
    last = store.list("calib.bias")[-1].rule
    assert last.useafter == start


def test_a_damaged_rule_file_is_not_added_to(store: ReferenceStore, reference: Path) -> None:
    store.add("calib.bias", reference, {"detector": 7})
    rules = Path(store.folder or "") / "rules" / "calib.bias.toml"
    rules.write_text("[reference\n")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        store.add("calib.bias", reference, {"detector": 8})
    assert rules.read_text() == "[reference\n"


@pytest.mark.parametrize("name", ["a b.fits", "-rf.fits", ".hidden", "ä.fits"])
def test_an_unsafe_file_name_is_refused(store: ReferenceStore, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    with pytest.raises(ReferenceFileError, match="the name may hold"):
        store.add("calib.bias", path, {})


def test_a_missing_stored_file_is_reported_when_choosing(
    store: ReferenceStore, reference: Path
) -> None:
    store.add("calib.bias", reference, {})
    store.choose("calib.bias", DETECTOR_7).path.unlink()
    with pytest.raises(ReferenceFileError, match="is missing; rule 1 of"):
        store.choose("calib.bias", DETECTOR_7)


def test_a_damaged_stored_file_is_mended_by_adding_it_again(
    store: ReferenceStore, reference: Path
) -> None:
    stored = store.add("calib.bias", reference, {"detector": 7}).path
    stored.write_bytes(b"flipped")
    store.add("calib.bias", reference, {"detector": 8})
    assert stored.read_bytes() == reference.read_bytes()


def test_a_wrong_match_an_unknown_type_and_no_store_are_refused(
    store: ReferenceStore, registry: Registry, reference: Path
) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'detector'"):
        store.add("calib.bias", reference, {"detectr": 7})
    with pytest.raises(ConfigurationError, match=r"did you mean 'calib\.bias'"):
        store.add("calib.bais", reference, {})
    with pytest.raises(ConfigurationError, match="CSSTCORE_REFS"):
        ReferenceStore(None, registry).add("calib.bias", reference, {})
    with pytest.raises(ConfigurationError, match="no such folder"):
        store.choose("calib.bias", DETECTOR_7)


@pytest.mark.parametrize("damage", ["removed", "garbage", "stale"])
def test_the_index_is_rebuilt(
    store: ReferenceStore, reference: Path, tmp_path: Path, damage: str
) -> None:
    store.add("calib.bias", reference, {"detector": 7})
    index = Path(store.folder or "") / "index.sqlite"
    if damage == "removed":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"no database" * 100)
    else:
        database = sqlite3.connect(index)
        with database:
            database.execute("DELETE FROM rule")
            database.execute("UPDATE source SET fingerprint = 'old'")
        database.close()
    twin = tmp_path / "twin.fits"
    twin.write_bytes(reference.read_bytes())
    assert store.add("calib.bias", twin, {"detector": 8}).rule.file == "bias_07.fits"
    database = sqlite3.connect(index)
    rows = database.execute("SELECT type, number, match FROM rule").fetchall()
    database.close()
    assert rows == [("calib.bias", 1, '{"detector": 7}'), ("calib.bias", 2, '{"detector": 8}')]


def test_the_context_follows_the_rules_and_nothing_else(
    tmp_path: Path, registry: Registry, reference: Path
) -> None:
    first, second = (ReferenceStore(tmp_path / name, registry) for name in ("a", "b"))
    first.add("calib.bias", reference, {"detector": 7})
    first.add("calib.bias", reference, {"detector": 8})
    second.add("calib.bias", reference, {"detector": 8})
    before = second.context
    second.add("calib.bias", reference, {"detector": 7})
    assert len(first.context) == 12
    assert first.context == second.context != before
    rules = tmp_path / "a" / "rules" / "calib.bias.toml"
    rules.write_text(f"# a comment\n{rules.read_text()}")
    assert ReferenceStore(tmp_path / "a", registry).context == second.context
    overridden = ReferenceStore(tmp_path / "a", registry, {"calib.bias": reference})
    assert overridden.context != first.context


def test_the_context_follows_the_bytes_of_shipped_files(tmp_path: Path) -> None:
    registry = make_registry(tmp_path / "plugin")
    before = ReferenceStore(None, registry).context
    (tmp_path / "plugin" / "references" / "small.toml").write_text("rows = 609\n")
    assert ReferenceStore(None, registry).context != before


def _add_many(folder: Path, plugin: Path, first: int) -> None:
    store = ReferenceStore(folder, make_registry(plugin))
    for detector in range(first, first + 8):
        path = plugin / f"bias_{detector:02d}.fits"
        path.write_bytes(os.urandom(2000))
        store.add("calib.bias", path, {"detector": detector})


def test_two_processes_write_while_a_third_reads(tmp_path: Path, registry: Registry) -> None:
    folder = tmp_path / "refs"
    folder.mkdir()
    spawn = multiprocessing.get_context("fork")
    writers = [
        spawn.Process(target=_add_many, args=(folder, tmp_path / f"plugin{first}", first))
        for first in (1, 9)
    ]
    for writer in writers:
        writer.start()
    counts = []
    while any(writer.is_alive() for writer in writers):
        entries = ReferenceStore(folder, registry).list("calib.bias")
        assert all(sha256(e.path.read_bytes()) == e.rule.sha256 for e in entries)
        counts.append(len(entries))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    entries = ReferenceStore(folder, registry).list("calib.bias")
    assert sorted(entry.rule.match["detector"] for entry in entries) == [
        (detector,) for detector in range(1, 17)
    ]
    assert counts == sorted(counts)


def test_a_file_that_changes_while_it_is_added_is_refused(
    store: ReferenceStore, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csstcore.references.folder.file_sha256", lambda path: "0" * 64)
    with pytest.raises(ReferenceFileError, match="changed while it was added"):
        store.add("calib.bias", reference, {})
    assert files_of(Path(store.folder or "")) == []
    assert store.list("calib.bias") == ()
