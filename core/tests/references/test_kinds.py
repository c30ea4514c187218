from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csstcore.definitions.catalog import Definitions
from csstcore.errors import ConfigurationError, ReferenceFileError
from csstcore.plugin import ReferenceType
from csstcore.plugins.registry import Registry
from csstcore.products import Image, Onnx, Table
from csstcore.references import Choice, load_reference
from csstcore.references.digest import begin_sha256, file_sha256
from csstcore.references.kinds import onnx_contract, reference_problems

from .conftest import Readout, Section, write_bias, write_network, write_stars


@dataclass
class Case:
    """Loads files as the references of a fake plugin."""

    registry: Registry

    def __post_init__(self) -> None:
        self.definitions = Definitions(self.registry)

    def declaration(self, name: str) -> ReferenceType:
        return self.registry.get(ReferenceType, name).declaration

    def load(self, name: str, path: Path, wanted: Any) -> Any:
        choice = Choice(name, path, file_sha256(path), "override")
        return load_reference(choice, self.declaration(name), wanted, self.definitions)

    def problems(self, name: str, path: Path) -> list[str]:
        return reference_problems(path, name, self.declaration(name), self.definitions)


@pytest.fixture
def case(registry: Registry) -> Case:
    return Case(registry)


def test_fits_is_read_by_its_definition(case: Case, tmp_path: Path) -> None:
    image = case.load("calib.bias", write_bias(tmp_path / "bias.fits"), Image)
    assert image.meta.detector == 7
    np.testing.assert_array_equal(image.data, np.full((3, 4), 7, np.float32))


def test_fits_of_another_product_than_wanted_is_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ReferenceFileError, match="holds Image, the stage wants Table"):
        case.load("calib.bias", write_bias(tmp_path / "bias.fits"), Table)


def test_a_fits_type_without_definition_is_a_configuration_error(
    case: Case, tmp_path: Path
) -> None:
    path = write_bias(tmp_path / "bias.fits")
    choice = Choice("calib.bias", path, file_sha256(path), "override")
    declaration = replace(case.declaration("calib.bias"), definition=None)
    with pytest.raises(ConfigurationError, match="names no definition"):
        load_reference(choice, declaration, Image, case.definitions)


def test_toml_becomes_the_type_the_stage_wants(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "readout.toml"
    path.write_text("rows = 608\ngains = [1.1, 1.2]\n[[sections]]\ncolumns = 72\n")
    assert case.load("calib.readout", path, Readout) == Readout(608, (1.1, 1.2), [Section(72)])


def test_everything_wrong_in_toml_is_named(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "readout.toml"
    path.write_text("rows = 'many'\nrowz = 1\n[[sections]]\ncolumns = 72\ncolour = 3\n")
    with pytest.raises(ReferenceFileError) as caught:
        case.load("calib.readout", path, Readout)
    message = str(caught.value)
    assert "readout.toml" in message
    for expected in ("rows: Input should be a valid integer", "rowz:", "sections 1, colour:"):
        assert expected in message


@pytest.mark.parametrize("content", [b"rows = ", b"\xff\xfe", b"a = 1\na = 1"])
def test_text_that_is_not_toml_is_refused(case: Case, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "readout.toml"
    path.write_bytes(content)
    with pytest.raises(ReferenceFileError, match="not valid TOML"):
        case.load("calib.readout", path, Readout)


def test_onnx_carries_its_metadata_properties(case: Case, tmp_path: Path) -> None:
    path = write_network(tmp_path / "network.onnx", threshold="0.4")
    network = case.load("calib.network", path, Onnx)
    assert network.path == path
    assert network.properties["threshold"] == "0.4"


def test_bytes_that_are_no_network_are_refused(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ReferenceFileError, match="not a usable ONNX file"):
        case.load("calib.network", path, Onnx)


def test_without_onnx_runtime_the_error_says_what_to_install(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    path = tmp_path / "network.onnx"
    path.write_bytes(b"x")
    with pytest.raises(ReferenceFileError, match=r"pip install 'csstcore\[onnx\]'"):
        case.load("calib.network", path, Onnx)


def test_a_file_that_changed_after_it_was_chosen_is_refused(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "readout.toml"
    path.write_text("rows = 608\n")
    choice = Choice("calib.readout", path, file_sha256(path), "store")
    declaration = case.declaration("calib.readout")
    assert load_reference(choice, declaration, Readout, case.definitions) == Readout(608)
    path.write_text("rows = 609\n")
    with pytest.raises(ReferenceFileError, match="the file changed after it was added"):
        load_reference(choice, declaration, Readout, case.definitions)
    path.unlink()
    with pytest.raises(ReferenceFileError, match=r"readout\.toml: No such file"):
        load_reference(choice, declaration, Readout, case.definitions)


def test_a_good_file_of_each_kind_has_no_problems(case: Case, tmp_path: Path) -> None:
    readout = tmp_path / "readout.toml"
    readout.write_text("rows = 608\n")
    network = write_network(tmp_path / "network.onnx")
    assert case.problems("calib.bias", write_bias(tmp_path / "bias.fits")) == []
    assert case.problems("calib.readout", readout) == []
    assert case.problems("calib.network", network) == []


def test_a_wrong_file_of_each_kind_says_why(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "wrong"
    path.write_text("rows = 'x'\n")
    for name in ("calib.bias", "calib.readout", "calib.network"):
        assert case.problems(name, path)
    flat = write_bias(tmp_path / "flat.fits", KIND="FLAT")
    assert any("KIND" in problem for problem in case.problems("calib.bias", flat))


def test_json_becomes_the_type_the_stage_wants(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text('{"rows": 608, "gains": [1.1, 1.2]}')
    assert case.load("calib.limits", path, Readout) == Readout(608, (1.1, 1.2))
    path.write_text('{"rows": "many", "rowz": 1}')
    assert "rowz: Unexpected keyword argument" in case.problems("calib.limits", path)[0]
    path.write_text("{")
    assert "not valid JSON" in case.problems("calib.limits", path)[0]


def test_parquet_columns_come_in_the_declared_unit(case: Case, tmp_path: Path) -> None:
    ra = np.array([1.0, 2.0])
    path = write_stars(tmp_path / "stars.parquet", ra * 60, ra * 60, "arcmin", name=["a", "b"])
    table = case.load("calib.stars", path, Table).table
    np.testing.assert_allclose(table["ra"].to_value("deg"), ra)
    assert str(table["ra"].unit) == "deg"
    assert list(table["name"]) == ["a", "b"]
    assert case.problems("calib.stars", path) == []


def test_parquet_that_is_not_as_declared_is_refused(case: Case, tmp_path: Path) -> None:
    path = write_stars(tmp_path / "unit.parquet", [1.0], [2.0], "mag")
    assert "found the unit 'mag', expected 'deg'" in case.problems("calib.stars", path)[0]
    path = write_stars(tmp_path / "null.parquet", [1.0, 2.0], [2.0, 3.0], name=["a", None])
    assert "numbers or text without gaps" in case.problems("calib.stars", path)[0]
    arrow, parquet = map(pytest.importorskip, ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(arrow.table({"ra": [1.0]}), path)
    assert "column dec: missing" in case.problems("calib.stars", path)[0]
    path.write_bytes(b"PAR1")
    assert "not a usable Parquet file" in case.problems("calib.stars", path)[0]


def test_without_pyarrow_the_error_says_what_to_install(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_stars(tmp_path / "stars.parquet", [1.0], [2.0])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ReferenceFileError, match=r"pip install 'csstcore\[parquet\]'"):
        case.load("calib.stars", path, Table)


def test_a_network_is_held_to_its_contract(case: Case, tmp_path: Path) -> None:
    path = write_network(tmp_path / "network.onnx", length=3)
    kept = onnx_contract(path)
    assert str(kept.inputs["x"]) == "float32 (3)"
    choice = Choice("calib.network", path, file_sha256(path), "override", contract=kept)
    declaration = case.declaration("calib.network")
    assert load_reference(choice, declaration, Onnx, case.definitions).path == path
    for other, cause in (
        (write_network(tmp_path / "long.onnx", length=4), "input x is float32 (4); expected"),
        (write_network(tmp_path / "names.onnx", length=3, names="xz"), "outputs are z; expected y"),
    ):
        choice = replace(choice, path=other, sha256=file_sha256(other))
        with pytest.raises(ReferenceFileError) as caught:
            load_reference(choice, declaration, Onnx, case.definitions)
        assert cause in str(caught.value)


def test_a_file_hashed_in_the_background_is_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        path.write_bytes(path.name.encode() * 100_000)
    begin_sha256(first)
    begin_sha256(tmp_path / "absent")
    assert file_sha256(first) == hashlib.sha256(first.read_bytes()).hexdigest()
    assert file_sha256(second) == hashlib.sha256(second.read_bytes()).hexdigest()
    first.write_bytes(b"changed")
    assert file_sha256(first) == hashlib.sha256(b"changed").hexdigest()
    with pytest.raises(ReferenceFileError, match="absent"):
        file_sha256(tmp_path / "absent")
