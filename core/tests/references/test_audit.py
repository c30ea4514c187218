"""``csstcore refs check``, ``explain``, ``freeze`` and ``diff``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from csstcore.cli.main import main
from csstcore.definitions.catalog import Definitions
from csstcore.errors import ReferenceFileError
from csstcore.plugin import ReferenceType
from csstcore.plugins import discovery
from csstcore.plugins.registry import Registry
from csstcore.products import Meta, Onnx
from csstcore.references import ReferenceStore, load_reference

from .conftest import Run, write_bias, write_network


@pytest.fixture
def store(refs: Run, tmp_path: Path) -> Path:
    """A store with the biases of detectors 6 and 7."""
    for detector in (6, 7):
        refs("add", "calib.bias", write_bias(tmp_path / f"bias_{detector:02d}.fits", detector))
    return tmp_path / "refs"


def bias_file(store: Path) -> Path:
    (path,) = store.glob("files/*/bias_07.fits")
    return path


def test_a_good_store_is_said_to_be_good(refs: Run, store: Path) -> None:
    code, out, _ = refs("check")
    assert code == 0
    assert "all is well with 3 rules" in out


def test_everything_wrong_with_a_store_is_named(refs: Run, store: Path, tmp_path: Path) -> None:
    refs("freeze", "y1")
    (store / "contexts" / "y2.toml").write_text("[context]")
    rules = store / "rules" / "calib.bias.toml"
    text = rules.read_text()
    twin = text.partition("[[rule]]")[2].partition("[[rule]]")[0]
    dead = twin.replace("detector = 6", 'detector = 5, time = { maximum = "2020" }').replace(
        '"2020"', "2020-01-01T00:00:00Z"
    )
    swapped = twin.replace("detector = 6", "detector = 9")
    rules.write_text("[[rule]]".join([text, twin, dead, swapped]))
    (store / "rules" / "calib.bais.toml").write_text("")
    bias_file(store).write_bytes(b"flipped")
    code, out, _ = refs("check")
    assert code == 2
    for expected in (
        "no plugin declares the reference type 'calib.bais'",
        "rule 1 of " + str(rules) + " (bias_06.fits) and rule 3",
        "are ambiguous for some observation",
        "matches nothing: useafter is after time.maximum",
        "(bias_07.fits): sha256 is",
        "detector: the rule wants 9, the file has 6",
        f"context {store / 'contexts' / 'y2.toml'}",
    ):
        assert expected in out, expected
    (store / "rules" / "calib.bias.toml").unlink()
    _, out, _ = refs("check")
    assert "context y1: calib.bias: rule 2" in out


def test_a_rule_file_that_cannot_be_read_does_not_hide_the_others(refs: Run, store: Path) -> None:
    (store / "rules" / "calib.network.toml").write_text("[reference")
    bias_file(store).unlink()
    _, out, _ = refs("check")
    assert "not valid TOML" in out
    assert "bias_07.fits: No such file" in out


def test_check_needs_a_folder(refs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CSSTCORE_REFS")
    code, _, err = refs("check")
    assert (code, "expected a folder" in err) == (2, True)


def test_explain_says_for_every_rule_why(refs: Run, store: Path, tmp_path: Path) -> None:
    newer = write_bias(tmp_path / "newer.fits", 7, **{"DATE-OBS": "2027-01-20T00:00:00"})
    refs("add", "calib.bias", newer)
    frame = write_bias(tmp_path / "frame.fits", 7, **{"DATE-OBS": "2027-02-01T00:00:00"})
    code, out, _ = refs("explain", "calib.bias", frame)
    assert code == 0
    rows = {line.split("(")[1].split(")")[0]: line for line in out.splitlines()}
    assert "chosen" in rows["newer.fits"]
    assert "matches" in rows["bias_07.fits"]
    assert "it wants detector 6, the observation has detector 7" in rows["bias_06.fits"]
    _, out, _ = refs("explain", "calib.bias", write_bias(tmp_path / "none.fits", 9))
    assert "chosen" not in out
    assert "none of 3 rules matches" in out


def test_best_and_list_take_a_context(refs: Run, store: Path, tmp_path: Path) -> None:
    _, out, _ = refs("freeze", "y1")
    assert "y1@" in out
    assert "3 rules in" in out
    frame = write_bias(tmp_path / "frame.fits", 7, **{"DATE-OBS": "2027-02-01T00:00:00"})
    newer = write_bias(tmp_path / "newer.fits", 7, **{"DATE-OBS": "2027-01-20T00:00:00"})
    refs("add", "calib.bias", newer)
    files = []
    for more in ((), ("--context", "y1")):
        _, out, _ = refs("best", "calib.bias", frame, "--json", *more)
        files.append(Path(json.loads(out)["path"]).name)
    assert files == ["newer.fits", "bias_07.fits"]
    _, out, _ = refs("list", "calib.bias", "--context", "y1")
    assert "newer.fits" not in out


def test_diff_names_rules_and_observations(refs: Run, store: Path, tmp_path: Path) -> None:
    refs("freeze", "y1")
    _, out, _ = refs("diff", "y1", "current")
    assert "the rules are the same" in out
    newer = write_bias(tmp_path / "newer.fits", 7, **{"DATE-OBS": "2027-01-20T00:00:00"})
    refs("add", "calib.bias", newer)
    raw = tmp_path / "raw"
    raw.mkdir()
    frames = [
        write_bias(raw / f"frame_{detector}.fits", detector, **{"DATE-OBS": f"2027-0{month}-09"})
        for detector, month in ((6, 2), (7, 2))
    ]
    code, out, _ = refs("diff", "y1", "current", raw)
    assert code == 0
    rule, change = out.splitlines()
    assert rule.startswith("+  calib.bias  newer.fits")
    assert change.split() == [str(frames[1]), "calib.bias", "bias_07.fits", "->", "newer.fits"]
    _, out, _ = refs("diff", "y1", "current", frames[0])
    assert "no observation would get another reference" in out
    _, out, _ = refs("diff", "current", "y1", frames[1], "--json")
    found = json.loads(out)
    assert [rule["file"] for rule in found["rules"]["gone"]] == ["newer.fits"]
    assert found["observations"][0]["new"] == "bias_07.fits"


def test_a_network_keeps_the_contract_of_the_first_one(refs: Run, tmp_path: Path) -> None:
    code, _, _ = refs("add", "calib.network", write_network(tmp_path / "a.onnx", length="n"))
    assert code == 0
    text = (tmp_path / "refs" / "rules" / "calib.network.toml").read_text()
    assert 'shape = ["n"]' in text
    other = write_network(tmp_path / "b.onnx", threshold="0.5", length=3)
    code, _, _ = refs("add", "calib.network", other, "--useafter", "2027-01-01")
    assert code == 0
    wrong = write_network(tmp_path / "c.onnx", names="uv")
    code, _, err = refs("add", "calib.network", wrong, "--useafter", "2027-02-01")
    assert code == 2
    assert "inputs are u; expected x" in err


def test_a_reference_for_other_observations_than_its_rule_is_refused(
    refs: Run, tmp_path: Path
) -> None:
    bias = write_bias(tmp_path / "bias.fits", 7)
    code, _, err = refs("add", "calib.bias", bias, "--match", "detector=8")
    assert code == 2
    assert "detector: the rule wants 8, the file has 7" in err


def test_uses_needs_an_output_folder(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(discovery, "discover", lambda: registry)
    assert main(["refs", "uses", "bias_07.fits", str(tmp_path)]) == 2


def test_an_override_keeps_the_contract_too(refs: Run, registry: Registry, tmp_path: Path) -> None:
    refs("add", "calib.network", write_network(tmp_path / "a.onnx", length=3))
    other = write_network(tmp_path / "b.onnx", length=4)
    store = ReferenceStore(tmp_path / "refs", registry, {"calib.network": other})
    declaration = registry.get(ReferenceType, "calib.network").declaration
    choice = store.choose("calib.network", Meta())
    with pytest.raises(ReferenceFileError, match=r"input x is float32 \(4\); expected float32"):
        load_reference(choice, declaration, Onnx, Definitions(registry))
