from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run, write_bias


def test_a_fits_reference_is_added_with_what_its_header_says(refs: Run, tmp_path: Path) -> None:
    code, out, _ = refs("add", "calib.bias", write_bias(tmp_path / "bias_07.fits"))
    assert code == 0
    assert 'instrument = "MSC", detector = 7, useafter 2027-01-05T06:07:08+00:00' in out


def test_the_best_reference_is_shown_with_its_rule_and_context(refs: Run, tmp_path: Path) -> None:
    refs("add", "calib.bias", write_bias(tmp_path / "bias_06.fits", 6))
    refs("add", "calib.bias", write_bias(tmp_path / "bias_07.fits", 7))
    frame = write_bias(tmp_path / "frame.fits", 7, **{"DATE-OBS": "2027-02-01T00:00:00"})
    code, out, _ = refs("best", "calib.bias", frame, "--json")
    found = json.loads(out)
    assert code == 0
    assert Path(found["path"]).name == "bias_07.fits"
    assert (found["source"], found["rule"]) == ("store", 2)
    assert len(found["context"]) == 12
    _, text, _ = refs("best", "calib.bias", frame, "--definition", "calib.bias")
    assert found["path"] in text


def test_no_match_says_what_came_closest(refs: Run, tmp_path: Path) -> None:
    refs("add", "calib.bias", write_bias(tmp_path / "bias_06.fits", 6))
    frame = write_bias(tmp_path / "frame.fits", 7)
    code, _, err = refs("best", "calib.bias", frame)
    assert code == 2
    assert "it wants detector 6, the observation has detector 7" in err


def test_match_and_useafter_win_over_the_header(refs: Run, tmp_path: Path) -> None:
    path = write_bias(tmp_path / "bias_07.fits")
    options = ("--match", "detector=[6, 7]", "--match", "instrument=", "--match", "filter=g")
    _, out, _ = refs("add", "calib.bias", path, *options, "--useafter", "always")
    assert out.splitlines()[1].strip() == 'detector = [6, 7], filter = "g"'
    refs("add", "calib.bias", path, "--useafter", "2027-03-01T08:00:00+08:00")
    _, out, _ = refs("list", "calib.bias", "--json")
    assert [rule["useafter"] for rule in json.loads(out)] == [None, "2027-03-01T00:00:00+00:00"]


def test_a_toml_reference_matches_what_is_given(refs: Run, tmp_path: Path) -> None:
    path = tmp_path / "readout.toml"
    path.write_text("rows = 608\n")
    code, _, _ = refs("add", "calib.readout", path, "--match", "readout=9560x9264")
    assert code == 0
    code, out, _ = refs("list")
    assert 'readout.toml  readout = "9560x9264"' in out
    assert 'small.toml    readout = "920x608"' in out


def test_a_file_that_is_no_such_reference_is_refused(refs: Run, tmp_path: Path) -> None:
    flat = write_bias(tmp_path / "flat.fits", KIND="FLAT")
    code, _, err = refs("add", "calib.bias", flat)
    assert code == 2
    assert "is no reference of type calib.bias" in err
    assert "KIND" in err
    assert not (tmp_path / "refs").exists()


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("add", "calib.bais", "FILE"), "did you mean 'calib.bias'"),
        (("add", "calib.bias", "FILE", "--match", "detector"), "expected FIELD=VALUE"),
        (("add", "calib.bias", "FILE", "--match", "detektor=7"), "did you mean 'detector'"),
        (("add", "calib.bias", "FILE", "--useafter", "soon"), "expected a time such as"),
        (("add", "calib.bias", "NONE"), "does not exist"),
        (("list", "calib.bais"), "did you mean 'calib.bias'"),
    ],
)
def test_a_wrong_command_line_names_the_cause(
    refs: Run, tmp_path: Path, arguments: tuple[str, ...], cause: str
) -> None:
    paths = {"FILE": write_bias(tmp_path / "bias.fits"), "NONE": tmp_path / "none"}
    code, _, err = refs(*(paths.get(word, word) for word in arguments))
    assert code == 2
    assert cause in err
    assert "Traceback" not in err


def test_an_observation_that_is_no_known_file_is_refused(refs: Run, tmp_path: Path) -> None:
    text = tmp_path / "text.fits"
    text.write_text("no FITS")
    code, _, err = refs("best", "calib.bias", text)
    assert (code, "not a FITS file" in err) == (5, True)
    code, _, err = refs("best", "calib.bias", write_bias(tmp_path / "flat.fits", KIND="FLAT"))
    assert (code, "no definition recognises it" in err) == (5, True)
