"""Level 0 to Level 1 from the command line: what comes out, file by file."""

from __future__ import annotations

import base64
import re

import numpy as np
from astropy.io import fits

from csstcore.products import DEFAULT_FLAG_BITS

from .observatory import JOB, Observatory, csstcore

DONE = ("BIAS", "DARK", "FLAT", "NLIN", "CRS", "SAT", "INST", "DIST", "POSI", "FLUX", "QC0", "QC1")
NOT_YET = ("CTE", "SHUT")
REFERENCES = {
    "R_BIAS": "calib.bias",
    "R_DARK": "calib.dark",
    "R_FLAT": "calib.flat",
    "R_GAIN": "calib.gain",
    "R_NLIN": "calib.nonlinearity",
    "R_CRMOD": "calib.cosmic_ray_model",
    "R_STARS": "imaging.stars",
    "R_CLRTRM": "imaging.colour_terms",
}


WITHOUT_REFERENCE = ("correct_cti", "correct_shutter")
"""Stages whose optional reference the observatory does not make."""


def test_every_stage_is_done(observatory: Observatory) -> None:
    record = observatory.record
    assert {stage.id: (stage.status, stage.why) for stage in record.stages} == {
        stage.id: ("skipped", stage.why) if stage.id in WITHOUT_REFERENCE else ("done", "")
        for stage in record.stages
    }
    assert record.status == "done", record.caveats
    assert not record.caveats


def test_files_satisfy_their_definitions(observatory: Observatory) -> None:
    files = [observatory.product(ending) for ending in ("IMG", "WHT", "FLG", "CAT")]
    reports = csstcore("validate", *files, "--json").json()
    names = ["msc.l1_image", "msc.l1_weight", "msc.l1_flags", "msc.l1_catalog"]
    assert [list(report["definitions"]) for report in reports] == [[name] for name in names]
    assert all(report["good"] for report in reports)


def test_header_says_what_was_done_and_with_which_references(observatory: Observatory) -> None:
    header = fits.getheader(observatory.product("IMG"), 1)
    assert {name: header[f"STA_{name}"] for name in DONE} == dict.fromkeys(DONE, 0)
    assert {name: header[f"STA_{name}"] for name in NOT_YET} == dict.fromkeys(NOT_YET, 1)
    chosen = {file.name: file.path.rpartition("/")[2] for file in observatory.record.references}
    assert {key: header[key] for key in REFERENCES} == {
        key: chosen[name] for key, name in REFERENCES.items()
    }
    assert header["R_SHUT"] == "none"
    assert header["BUNIT"] == "e/s"
    assert 0.1 < header["SKY_BKG"] < 0.5
    assert header["REF_FLUX"] == "GAIA_DR3"
    assert header["NS_ZP"] <= header["NS_MATCH"]
    assert abs(header["RA_OFF1"]) < 0.01
    assert fits.getheader(observatory.product("IMG"), 0)["OBSID"] == JOB.partition("_")[0]


def test_sections_of_the_header_stand_where_they_belong(observatory: Observatory) -> None:
    cards = fits.getheader(observatory.product("IMG"), 1).cards
    titles = {card.value: n for n, card in enumerate(cards) if card.keyword == "COMMENT"}
    first = {title[:4]: cards[n + 2].keyword for title, n in titles.items() if ": " in title}
    assert first == {name: f"VER_{name}" for name in ("INST", "DIST", "POSI", "FLUX")} | {
        "QC0:": "VER_QC0",
        "QC1:": "VER_QC1",
    }


def test_planes_share_one_grid_and_weights_are_zero_where_flagged(
    observatory: Observatory,
) -> None:
    data = fits.getdata(observatory.product("IMG"))
    weight = fits.getdata(observatory.product("WHT"))
    flags = fits.getdata(observatory.product("FLG"))
    assert data.shape == weight.shape == flags.shape == (576, 576)
    assert (data.dtype.kind, data.itemsize) == ("f", 4)
    assert flags.dtype.kind == "u"
    assert np.isfinite(data).all()
    assert (weight[flags == 0] > 0).all()
    assert (weight[flags != 0] == 0).all()
    assert not (flags & ~np.uint16(sum(DEFAULT_FLAG_BITS.values()))).any()


def test_catalogue_has_the_documented_columns(observatory: Observatory) -> None:
    table = fits.getdata(observatory.product("CAT"))
    assert len(table) > 50
    names = set(table.names)
    assert {"OBSID", "CCDNO", "ID", "X", "Y", "RA", "DEC", "FWHM", "Flux_Kron"} <= names
    assert {f"{kind}_Aper{n}" for kind in ("Flux", "FluxErr", "Mag") for n in range(1, 13)} <= names
    assert (table["CCDNO"] == 8).all()
    assert len(set(table["ID"])) == len(table)
    assert (table["X"] >= 0.5).all()
    assert (table["X"] <= 576.5).all()
    assert (np.diff(table["Flux_Aper3"]) != 0).any()


def test_report_needs_nothing_but_itself(observatory: Observatory) -> None:
    page = (observatory.run_folder / "report.html").read_text()
    assert JOB in page
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)["']|url\(([^)]+)\)""", page)
    links = [source or style for source, style in loaded]
    outside = [link for link in links if not link.startswith(("data:", "#"))]
    assert not [link for link in outside if re.match(r"\w+:|//", link)]
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == len(observatory.record.figures) >= 3
    assert all(base64.b64decode(text).startswith(b"\x89PNG") for text in pictures)
    assert "<script src" not in page
    assert "@import" not in page


def test_status_and_describe_tell_the_same(observatory: Observatory) -> None:
    shown = csstcore("status", observatory.run_folder, "--json").json()
    assert [(row["job"], row["status"]) for row in shown["jobs"]] == [(JOB, "done")]
    assert "1 done" in csstcore("status", observatory.level1).out
    graph = csstcore("describe", "mbi.l1").out
    places = [graph.index(stage.id) for stage in observatory.record.stages]
    assert places == sorted(places)
    assert "OBSID" in csstcore("describe", "msc.l1_image").out
