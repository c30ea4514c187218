"""Damage of every sort: the cause is named, and nothing but the library's errors comes out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from csstcore.definitions.catalog import Definitions
from csstcore.errors import CsstError
from csstcore.plugin import ReferenceType
from csstcore.plugins.registry import Registry
from csstcore.products import Image, Onnx
from csstcore.references import Choice, load_reference
from csstcore.references.digest import file_sha256
from csstcore.references.rules import read_rules

from .conftest import Readout, write_bias, write_network

RULE = f"""[reference]
type = "calib.bias"
[[rule]]
file = "a.fits"
sha256 = "{"0" * 64}"
match = {{ instrument = "MSC", detector = [6, 7], temperature = {{ minimum = 150.0 }} }}
useafter = 2027-01-01T00:00:00Z
"""
VALUES = (
    *("1", "-1", "1e400", "nan", "true", "12:00:00", "2027-01-01", "99999999999999999999"),
    *('"x"', '""', '".."', '"a/../b"', '"\\u0000"', "[]", "{}", "[1, [2]]", "[{}]", "[nan]"),
    *("{ minimum = [] }", "{ maximum = true }", "9999-12-31T23:59:59-23:59"),
)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, double or overwrite a part."""
    at, end = sorted(int(n) for n in rng.integers(0, len(content), 2))
    kind = rng.integers(4)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:end] + content[at:]
    if kind == 2:
        return content[:at] + rng.bytes(min(end - at + 1, 40)) + content[at + 40 :]
    flipped = bytearray(content)
    for index in rng.integers(0, len(content), 4):
        flipped[index] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def refusal(attempt: Callable[[], object]) -> str | None:
    """Return the message of the library's error, if there is one."""
    try:
        attempt()
    except CsstError as error:
        return str(error)
    return None


def read(path: Path) -> str | None:
    return refusal(lambda: read_rules(path, "calib.bias", need_sha256=True))


@pytest.mark.parametrize("key", ["file", "sha256", "match", "useafter", "type", "extra"])
def test_any_value_of_any_key_is_taken_or_refused_by_name(tmp_path: Path, key: str) -> None:
    messages = []
    path = tmp_path / "rules.toml"
    for value in VALUES:
        lines = [line for line in RULE.splitlines() if not line.startswith(f"{key} =")]
        path.write_text("\n".join([*lines, f"{key} = {value}"]))
        messages.append(read(path))
    refused = [message for message in messages if message is not None]
    assert all(str(path) in message for message in refused)
    assert len(refused) >= len(VALUES) - 6


def test_damaged_rule_files_are_taken_or_refused_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "rules.toml"
    messages = []
    for _ in range(300):
        path.write_bytes(damaged(RULE.encode(), rng))
        messages.append(read(path))
    refused = [message for message in messages if message is not None]
    assert all(str(path) in message for message in refused)
    assert len(refused) > 150


@pytest.mark.parametrize("name", ["calib.bias", "calib.readout", "calib.network"])
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_damaged_references_are_opened_or_refused_by_name(
    tmp_path: Path, registry: Registry, name: str
) -> None:
    rng = np.random.default_rng(6)
    good = tmp_path / "good"
    if name == "calib.bias":
        write_bias(good)
    elif name == "calib.network":
        write_network(good)
    else:
        good.write_text("rows = 608\ngains = [1.1, 1.2]\n[[sections]]\ncolumns = 72\n")
    wanted = {"calib.bias": Image, "calib.readout": Readout, "calib.network": Onnx}[name]
    declaration = registry.get(ReferenceType, name).declaration
    definitions = Definitions(registry)
    content = good.read_bytes()
    refused = 0
    for number in range(60):
        path = tmp_path / f"bad{number}"
        path.write_bytes(damaged(content, rng))
        choice = Choice(name, path, file_sha256(path), "override")
        opened = partial(load_reference, choice, declaration, wanted, definitions)
        message = refusal(opened)
        if message is not None:
            assert str(path) in message
            refused += 1
    assert refused > 15
