"""1,000 generated rule files and references that are wrong: every one is refused by its cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time

from csstcore.definitions.catalog import Definitions
from csstcore.errors import CsstError
from csstcore.plugin import ReferenceType
from csstcore.plugins.registry import Registry
from csstcore.products import Image, Meta, Onnx, Table
from csstcore.references import ReferenceStore, load_reference
from csstcore.references.adding import add_checked
from csstcore.references.rules import read_rules

from .conftest import Readout, write_bias, write_network, write_stars

SHA = "0123456789abcdef" * 4
Generator = np.random.Generator


def line(rng: Generator, **changes: str) -> str:
    """A good rule but for `changes`; an empty change leaves a key out."""
    detector, month = int(rng.integers(1, 31)), int(rng.integers(1, 13))
    keys = {
        "file": f'"bias_{detector:02d}.fits"',
        "sha256": f'"{SHA}"',
        "match": f'{{ instrument = "MSC", detector = {detector} }}',
        "useafter": f"2027-{month:02d}-01T00:00:00Z",
    } | changes
    body = "\n".join(f"{key} = {value}" for key, value in keys.items() if value)
    return f"[[rule]]\n{body}\n"


def match(rng: Generator, text: str) -> str:
    return line(rng, match=f"{{ {text} }}")


RULES: list[tuple[str, Callable[[Generator], str]]] = [
    ("file: found", lambda r: line(r, file=f'"{"../" * int(r.integers(1, 4))}bias.fits"')),
    ("file: Field required", lambda r: line(r, file="")),
    ("file: Input should be a valid string", lambda r: line(r, file=str(r.integers(99)))),
    ("sha256: missing", lambda r: line(r, sha256="")),
    ("sha256: String should match", lambda r: line(r, sha256=f'"{SHA[: r.integers(64)]}"')),
    ("useafter: found", lambda r: line(r, useafter=f'"2027-{r.integers(99)}"')),
    ("is no field of Meta", lambda r: match(r, f"detectr = {r.integers(99)}")),
    ("expected a string", lambda r: match(r, f"instrument = {r.integers(99)}")),
    ("expected a whole number", lambda r: match(r, f"detector = {r.uniform(1, 9):.3f}")),
    ("expected a number in K", lambda r: match(r, f'temperature = "{r.integers(300)}"')),
    (
        "is above maximum",
        lambda r: match(r, f"gain = {{ minimum = {r.integers(5, 9)}, maximum = 2 }}"),
    ),
    ("a range has", lambda r: match(r, f"gain = {{ min = {r.integers(9)} }}")),
    ("an empty list matches nothing", lambda r: match(r, "detector = []")),
    ("Extra inputs", lambda r: line(r, **{f"key{r.integers(99)}": "1"})),
    ("no partition", lambda r: match(r, f"cell = {r.integers(99)}")),
    ("found 'calib.dark'", line),
    ("not valid TOML", lambda r: line(r)[: int(r.integers(10, 30))]),
    ("not valid TOML", lambda r: line(r) + 'file = "twice.fits"\n'),
    ("dtype: Field required", lambda r: line(r, contract="{ inputs = { x = {} }, outputs = {} }")),
    ("useafter: missing", lambda r: line(r, useafter="")),
]


def test_wrong_rule_files_are_refused_by_their_cause(tmp_path: Path) -> None:
    rng = np.random.default_rng(20)
    path = tmp_path / "calib.bias.toml"
    for number in range(500):
        cause, generate = RULES[number % len(RULES)]
        name = "calib.dark" if "calib.dark" in cause else "calib.bias"
        nearest = str(cause.startswith("useafter: missing")).lower()
        head = f'[reference]\ntype = "{name}"\nnearest = {nearest}\n'
        rules = [line(rng) for _ in range(rng.integers(4))]
        rules.insert(int(rng.integers(len(rules) + 1)), generate(rng))
        if cause == "not valid TOML":
            rules.sort(key=len, reverse="twice" in rules[-1])
        path.write_text(head + "\n".join(rules))
        with pytest.raises(CsstError) as caught:
            read_rules(path, "calib.bias", need_sha256=True)
        assert str(path) in str(caught.value)
        assert cause in str(caught.value), path.read_text()


KINDS: dict[str, tuple[str, Any]] = {
    "calib.bias": ("bias.fits", Image),
    "calib.readout": ("readout.toml", Readout),
    "calib.limits": ("limits.json", Readout),
    "calib.network": ("network.onnx", Onnx),
    "calib.stars": ("stars.parquet", Table),
}


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Path]:
    """One good reference of every kind."""
    pytest.importorskip("pyarrow")
    folder = tmp_path / "good"
    folder.mkdir()
    paths = {name: folder / file for name, (file, _) in KINDS.items()}
    write_bias(paths["calib.bias"])
    paths["calib.readout"].write_text("rows = 608\ngains = [1.1, 1.2]\n")
    paths["calib.limits"].write_text(json.dumps({"rows": 608, "gains": [1.1, 1.2]}))
    write_network(paths["calib.network"])
    write_stars(paths["calib.stars"], [1.0, 2.0], [3.0, 4.0])
    return paths


def test_references_that_change_on_disk_are_refused(
    tmp_path: Path, registry: Registry, good: dict[str, Path]
) -> None:
    store, definitions = ReferenceStore(tmp_path / "refs", registry), Definitions(registry)
    stored = {
        name: add_checked(store, definitions, name, path, {}).path for name, path in good.items()
    }
    contents = {name: path.read_bytes() for name, path in stored.items()}
    meta = Meta(instrument="MSC", detector=7, time=Time("2027-03-01"))
    rng = np.random.default_rng(21)
    for number in range(400):
        name = list(KINDS)[number % len(KINDS)]
        content = bytearray(contents[name])
        at = int(rng.integers(len(content)))
        damage = number // len(KINDS) % 3
        if damage == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif damage == 1:
            del content[at:]
        else:
            content = bytearray(contents[list(KINDS)[(number + 1) % len(KINDS)]])
        stored[name].write_bytes(content)
        choice = store.choose(name, meta)
        declaration = registry.get(ReferenceType, name).declaration
        with pytest.raises(CsstError, match="the file changed after it was added") as caught:
            load_reference(choice, declaration, KINDS[name][1], definitions)
        assert str(stored[name]) in str(caught.value)
        stored[name].write_bytes(contents[name])
        load_reference(choice, declaration, KINDS[name][1], definitions)


def test_files_of_another_kind_or_detector_are_not_added(
    tmp_path: Path, registry: Registry, good: dict[str, Path]
) -> None:
    store, definitions = ReferenceStore(tmp_path / "refs", registry), Definitions(registry)
    rng = np.random.default_rng(22)
    names = list(KINDS)
    for number in range(100):
        name = names[number % len(names)]
        if number < 60:
            path = good[names[(number + 1 + number // len(names) % 4) % len(names)]]
            with pytest.raises(CsstError, match=str(path)):
                add_checked(store, definitions, name, path, {})
            continue
        detector = int(rng.integers(8, 31))
        with pytest.raises(CsstError, match=f"detector: the rule wants {detector}, the file has 7"):
            add_checked(
                store, definitions, "calib.bias", good["calib.bias"], {"detector": detector}
            )
    assert not (tmp_path / "refs" / "files").exists()
