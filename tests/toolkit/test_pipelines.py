"""From one folder of raw frames to references in use, by the pipelines of the toolkit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ..end_to_end.observatory import csstcore
from .conftest import BIASES, DARKS, DRAWN, FLATS, ORDER, Laboratory

SATURATED_FLATS = 2
INPUTS = {
    "gain": BIASES + FLATS,
    "ptc": BIASES + FLATS,
    "gain_image": BIASES + FLATS,
    "bias": BIASES,
    "nonlinearity": FLATS,
    "dark": DARKS,
    "bad_pixels": DARKS,
    "shutter": FLATS[SATURATED_FLATS:],
    "flat": FLATS[SATURATED_FLATS:],
}


def test_references_satisfy_their_definitions(laboratory: Laboratory) -> None:
    files = [laboratory.made(name) for name in sorted(INPUTS)]
    reports = csstcore("validate", *files, "--json").json()
    assert all(report["good"] for report in reports)
    found = [list(report["definitions"]) for report in reports]
    assert found == [[f"calib.{name}"] for name in sorted(INPUTS)]


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_header_says_what_a_reference_was_made_of(laboratory: Laboratory, name: str) -> None:
    header = fits.getheader(laboratory.made(name))
    assert header["NCOMBINE"] == len(INPUTS[name])
    assert header["OBSFIRST"] < header["OBSLAST"]
    record = job(laboratory, header["PIPELINE"])
    assert record["job"] == header["JOBID"]
    frames = {Path(item["path"]).name: item["sha256"] for item in record["inputs"]}
    assert all(len(sha256) == 64 for sha256 in frames.values())
    for keyword in ("OBSFIRST", "OBSLAST"):
        assert any(header[keyword] in frame for frame in frames)


def job(laboratory: Laboratory, pipeline: str) -> dict:
    """Return the record of the job of a pipeline."""
    paths = (laboratory.folder / "made" / "runs").glob("*/jobs/*.json")
    records = [json.loads(path.read_text()) for path in paths]
    (record,) = [record for record in records if record["pipeline"] == pipeline]
    return record


def test_checks_are_within_their_limits_and_pictures_are_drawn(laboratory: Laboratory) -> None:
    for name in ORDER:
        record = job(laboratory, "calib.make_ptc" if name == "gain" else f"calib.make_{name}")
        failed = [check for check in record["checks"] if not check["ok"]]
        assert [check for check in failed if check["when"] == "written"] == []
        assert not any("figure" in caveat for caveat in record["caveats"])
        assert bool(record["figures"]) == (name in DRAWN)


def test_saturated_flats_drop_out_and_the_turn_off_is_seen(laboratory: Laboratory) -> None:
    with fits.open(laboratory.made("ptc")) as file:
        fit, levels = file["FIT"].data, file["LEVELS"].data
    assert fit["turn_off_seen"].all()
    assert levels["used"][levels["exposure_time"] == 60.0].sum() == 0
    assert levels["covariance"].shape[1:] == (9, 9)


def test_mask_of_bad_pixels_is_applied(laboratory: Laboratory) -> None:
    mask = fits.getdata(laboratory.made("bad_pixels"), "DQ")
    rules = fits.getdata(laboratory.made("bad_pixels"), "RULE")
    assert np.array_equal((mask & 1) != 0, rules != 0)
    assert 30 < np.count_nonzero(rules) < 500
