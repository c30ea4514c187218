from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from astropy.time import Time

from csstcore.errors import ConfigurationError
from csstcore.plugins.registry import Registry
from csstcore.products import Meta
from csstcore.references import ReferenceStore, library
from csstcore.references.digest import file_sha256

from .conftest import make_registry, sha256

OBSERVED = Meta(instrument="MSC", detector=7, time=Time("2027-03-01"), readout="920x608")


@pytest.fixture
def folder(tmp_path: Path, registry: Registry, reference: Path) -> Path:
    """A store with one bias, frozen as `y1`, and then a better bias."""
    store = ReferenceStore(tmp_path / "refs", registry)
    store.add("calib.bias", reference, {"detector": 7})
    store.freeze("y1")
    better = tmp_path / "better.fits"
    better.write_bytes(b"a better bias")
    store.add("calib.bias", better, {"detector": 7}, datetime(2027, 1, 1, tzinfo=UTC))
    return tmp_path / "refs"


def test_a_context_chooses_as_when_it_was_frozen(folder: Path, registry: Registry) -> None:
    frozen = ReferenceStore(folder, registry, context="y1")
    assert frozen.choose("calib.bias", OBSERVED).path.name == "bias_07.fits"
    current = ReferenceStore(folder, registry)
    assert current.choose("calib.bias", OBSERVED).path.name == "better.fits"
    assert frozen.context.startswith("y1@")
    assert frozen.context != f"y1@{current.context}"


def test_a_context_has_the_digits_of_the_rules_it_froze(folder: Path, registry: Registry) -> None:
    store = ReferenceStore(folder, registry)
    store.freeze("y2")
    assert ReferenceStore(folder, registry, context="y2").context == f"y2@{store.context}"


def test_an_override_changes_the_digits_of_a_context(
    folder: Path, registry: Registry, reference: Path
) -> None:
    plain = ReferenceStore(folder, registry, context="y1")
    overridden = ReferenceStore(folder, registry, {"calib.bias": reference}, "y1")
    assert overridden.context.startswith("y1@")
    assert overridden.context != plain.context


def test_a_context_never_changes(folder: Path, registry: Registry, reference: Path) -> None:
    before = (folder / "contexts" / "y1.toml").read_bytes()
    with pytest.raises(ConfigurationError, match="another context 'y1' already"):
        ReferenceStore(folder, registry).freeze("y1")
    assert (folder / "contexts" / "y1.toml").read_bytes() == before
    ReferenceStore(folder, registry).freeze("y2")
    again = (folder / "contexts" / "y2.toml").read_bytes()
    ReferenceStore(folder, registry).freeze("y2")
    assert (folder / "contexts" / "y2.toml").read_bytes() == again


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("detector = 7", "detector = 8", "are those of 'y1' no more"),
        ('name = "y1"', 'name = "y2"', "of 'y2'"),
        ("[context]", "[context", "not valid TOML"),
        ("detector = 7", "detektor = 7", "did you mean 'detector'"),
    ],
)
def test_an_edited_context_is_refused(
    folder: Path, registry: Registry, old: str, new: str, cause: str
) -> None:
    path = folder / "contexts" / "y1.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigurationError, match=cause):
        ReferenceStore(folder, registry, context="y1")


@pytest.mark.parametrize(
    ("name", "cause"), [("y9", "there is no"), ("../x", "begins with"), ("current", "is not")]
)
def test_a_wrong_name_is_refused(folder: Path, registry: Registry, name: str, cause: str) -> None:
    with pytest.raises(ConfigurationError, match=cause):
        ReferenceStore(folder, registry, context=name)


def test_a_context_without_a_store_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="no reference store was given"):
        ReferenceStore(None, registry, context="y1")


def test_shipped_references_are_kept_by_a_context(tmp_path: Path, folder: Path) -> None:
    shipped = tmp_path / "plugin" / "references" / "small.toml"
    shipped.write_text("rows = 1\n")
    registry = make_registry(tmp_path / "newer")
    choice = ReferenceStore(folder, registry, context="y1").choose("calib.readout", OBSERVED)
    assert choice.path.is_relative_to(folder)
    assert (choice.source, choice.path.read_text()) == ("shipped", "rows = 608\n")


def test_no_later_file_takes_the_name_of_one_in_a_context(
    folder: Path, registry: Registry, tmp_path: Path
) -> None:
    (folder / "rules" / "calib.bias.toml").unlink()
    other = tmp_path / "new" / "bias_07.fits"
    other.parent.mkdir()
    other.write_bytes(b"another")
    entry = ReferenceStore(folder, registry).add("calib.bias", other, {})
    assert entry.rule.file == f"bias_07-{sha256(b'another')[:8]}.fits"


class Cupboard:
    """A remote store: its files come from another folder when they are wanted."""

    def __init__(self, location: str) -> None:
        self.source = Path(location.partition("://")[2])
        self.cache = self.source.parent / "cache"
        self.fetched: list[str] = []

    def read(self, name: str) -> bytes | None:
        path = self.source / name
        return path.read_bytes() if path.exists() else None

    def path(self, name: str) -> Path:
        return self.cache / name

    def fetch(self, name: str) -> Path | None:
        self.fetched.append(name)
        if not (self.source / name).exists():
            return None
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_bytes((self.source / name).read_bytes())
        return self.path(name)


def test_a_remote_store_is_one_class(
    folder: Path, registry: Registry, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("cupboard", f"{__name__}:Cupboard", library.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Cupboard)
    monkeypatch.setattr(
        library, "entry_points", lambda group, name: [point] if name == "cupboard" else []
    )
    for context, expected in ((None, "better.fits"), ("y1", "bias_07.fits")):
        store = ReferenceStore(f"cupboard://{folder}", registry, context=context)
        choice = store.choose("calib.bias", OBSERVED)
        assert choice.path.name == expected
        assert choice.path.is_relative_to(folder.parent / "cache")
        assert file_sha256(choice.path) == choice.sha256
    with pytest.raises(ConfigurationError, match="is not a local folder"):
        store.add("calib.bias", reference, {})
    with pytest.raises(ConfigurationError, match="nothing installed serves s3://"):
        ReferenceStore("s3://bucket", registry)
