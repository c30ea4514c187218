"""Keywords of written files: each origin, fill values, sections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from csstcore.api import Image, Meta
from csstcore.definitions.checks import CheckResult
from csstcore.definitions.header import Header
from csstcore.definitions.sources import Sources
from csstcore.definitions.validate import validate_file
from csstcore.definitions.write import write_product


def check(name: str, value: float | None, ok: bool) -> CheckResult:
    return CheckResult(name, f"x.{name}", value, 0.0, 1.0, ok)


SOURCES = Sources(
    headers={
        "image": Header(Path("a"), {"KEY": "first"}, {"version": "V03"}),
        "dark": Header(Path("b"), {"KEY": "second"}),
    },
    keys={"brick": 42},
    statuses={
        "good": "done",
        "so_so": "done with caveats",
        "bad": "failed",
        "not": "skipped",
        "late": "blocked",
    },
    times={"good": "2027-01-01T00:00:00"},
    references={"bias": "b.fits", "calib.bias": "b.fits"},
    metrics={
        "number": 3.5,
        "count": np.int64(4),
        "nan": float("nan"),
        "text": "so\u2192",
        "x_03": 9,
    },
    checks={
        "low": check("low", 0.5, ok=True),
        "high": check("high", 2.0, ok=False),
        "none": check("none", None, ok=True),
    },
    record={"run": "r1"},
    versions={"csst-calib": "0.1.0"},
)


def written(define, tmp_path, keywords: str, meta: Meta | None = None) -> fits.Header:
    definition = define(
        "[definition]\nname='a'\nsummary=''\nproduct='Image'\n[file]\nname='a.fits'\n"
        f"[[hdu]]\nname='PRIMARY'\nplane='data'\n[hdu.keywords]\n{keywords}\n"
    )
    product = Image(data=np.zeros((2, 2), np.float32), meta=meta or Meta())
    path = write_product(definition, product, SOURCES, tmp_path)
    assert validate_file(definition, path) == []
    return fits.getheader(path)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("type='str', from='header.KEY'", "first"),
        ("type='str', from='header.dark.KEY'", "second"),
        ("type='str', from='header.flat.KEY'", "N/A"),
        ("type='int', from='status.good'", 0),
        ("type='int', from='status.so_so'", 0),
        ("type='int', from='status.bad', fill=-1", 1),
        ("type='int', from='status.not', fill=1", 1),
        ("type='int', from='status.late', fill=-1", -1),
        ("type='int', from='status.never', fill=7", 7),
        ("type='str', from='status.so_so'", "done with caveats"),
        ("type='str', from='time.good'", "2027-01-01T00:00:00"),
        ("type='str', from='reference.bias'", "b.fits"),
        ("type='str', from='reference.calib.bias'", "b.fits"),
        ("type='str', from='reference.dark'", "N/A"),
        ("type='float', from='metric.number'", 3.5),
        ("type='float', unit='deg', from='metric.number', from_unit='arcsec'", 3.5 / 3600),
        ("type='int', from='metric.count'", 4),
        ("type='float', from='metric.nan'", -9999.0),
        ("type='float', from='metric.none', fill=-1.0", -1.0),
        ("type='str', from='metric.text'", "so?"),
        ("type='float', from='check.high'", 2.0),
        ("type='int', from='check.low'", 0),
        ("type='int', from='check.high'", 1),
        ("type='int', from='check.low+high'", 1),
        ("type='int', from='check.none', fill=-1", -1),
        ("type='str', from='record.run'", "r1"),
        ("type='str', from='record.file_name'", "a.fits"),
        ("type='str', from='version.csst-calib'", "0.1.0"),
        ("type='str', from='field.version'", "V03"),
        ("type='int', from='key.brick'", 42),
        ("type='str', from='meta.detector', format='02d'", "06"),
        ("type='str', from=['metric.none', 'header.KEY']", "first"),
        ("type='bool', value=true", True),
        ("type='int', fill=5", 5),
    ],
)
def test_origins(define, tmp_path, rule: str, value: object) -> None:
    header = written(define, tmp_path, f"X = {{{rule}}}", Meta(detector=6))
    assert header["X"] == pytest.approx(value) if isinstance(value, float) else header["X"] == value


def test_a_keyword_without_origin_or_fill_is_left_out(define, tmp_path) -> None:
    assert "X" not in written(
        define, tmp_path, "X = {type='str'}\nY = {type='bool', from='metric.a'}"
    )


def test_numbered_keywords_share_one_entry(define, tmp_path) -> None:
    header = written(
        define, tmp_path, "'C{}' = {type='int', first=2, count=2, from='metric.x_{n:02d}'}"
    )
    assert (header["C2"], header["C3"]) == (-9999, 9)


def test_date_and_file_name_are_always_there(define, tmp_path) -> None:
    header = written(define, tmp_path, "X = {type='int', value=1}")
    assert header["FILENAME"] == "a"
    assert header["DATE"].startswith("20")


def test_sections_begin_with_a_comment_block(define, tmp_path) -> None:
    keywords = "X = {type='int', value=1}\n[hdu.sections]\nX = 'My module'"
    cards = [str(card) for card in written(define, tmp_path, keywords).cards]
    first = next(i for i, card in enumerate(cards) if "My module" in card)
    assert set(cards[first - 1][8:].strip()) == {"="}
    assert cards[first + 2].startswith("X ")


def test_long_text_and_comments_are_kept_within_the_standard(define, tmp_path) -> None:
    long = "x" * 100
    header = written(
        define,
        tmp_path,
        f"X = {{type='str', value='{long}'}}\nY = {{type='int', value=1, comment='{long}'}}",
    )
    assert header["X"] == long
    assert header["Y"] == 1
