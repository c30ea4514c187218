"""Raw frames of the survey camera, damaged in every way that a generator can think of.

A case changes the bytes of a good frame and says what the refusal must name.
"""

from __future__ import annotations

import gzip
import io
import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time

import csst_msc
from csstcore.api import Image, Meta
from csstcore.definitions.load import load_definition
from csstcore.definitions.sources import Sources
from csstcore.definitions.write import write_product

CARD, BLOCK = 80, 2880
NAME = "CSST_MSC_MS_BIAS_20270101000000_20270101000000_10100000001_07_L0_V01.fits"
DEFINITION = Path(csst_msc.__file__).parent / "definitions" / "l0.toml"
SHAPE = (40, 48)

Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Case:
    """One damage."""

    name: str
    change: Change
    causes: tuple[str, ...]
    """What the refusal must have; of ``a|b`` one is enough."""
    file_name: str = NAME


@cache
def good_frame(folder: Path) -> bytes:
    """Return the bytes of a frame that has nothing wrong, with its checksums."""
    start = Time("2027-01-01T00:00:00", scale="utc")
    ones = np.ones(16)
    meta = Meta(
        instrument="MSC",
        telescope="CSST",
        obs_id="10100000001",
        file_type="BIAS",
        detector=7,
        filter="g",
        object="sky",
        target="120000+020000",
        project_id="csst",
        readout="48x40",
        time=start,
        end_time=start,
        exposure_time=0.0 * u.s,
        temperature=188.0 * u.K,
        pixel_scale=0.074 * u.arcsec,
        gain=1.1 * ones * u.electron / u.adu,
        read_noise=5.0 * ones * u.electron,
        right_ascension=150.0 * u.deg,
        declination=2.0 * u.deg,
        position_angle=10.0 * u.deg,
    )
    pixels = np.random.default_rng(1).integers(900, 1100, SHAPE).astype(np.uint16)
    image = Image(data=pixels, unit=u.adu, meta=meta)
    path = write_product(load_definition(DEFINITION), image, Sources(), folder)
    assert path.name == NAME
    return path.read_bytes()


def keywords() -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield unit, name and declaration of every declared keyword that the frame has."""
    tree = tomllib.loads(DEFINITION.read_text())
    absent = ("TIME-OBS", "REFFRAME", "DETSN", "DETTEMP2", "DETTEMP3", "DATASECT", "CHIPLAB")
    for index, hdu in enumerate(tree["hdu"]):
        for pattern, model in hdu["keywords"].items():
            if pattern in absent:
                continue
            for number in range(1, model.get("count", 0) + 1) or [0]:
                yield index, pattern.format(number), model


def cases() -> list[Case]:
    """Return every case."""
    return [
        *_wrong_types(),
        *_wrong_values(),
        *_missing(),
        *_truncated(),
        *_flipped(),
        *_structure(),
        *_no_fits(),
        *_names(),
    ]


# --- keywords ---------------------------------------------------------------------------------

WRONG_TYPE = {
    "float": ("'abc'", "T", "NAN", "INF", "-inf", "1.2.3", "(1.0, 2.0)", "0x12", "--5", "''"),
    "int": ("'abc'", "1.5", "T", "NAN", "1 2", "(1, 2)"),
    "str": ("1.5", "T", "NAN", "'open", "(1.0, 2.0)"),
    "bool": ("'T'", "7", "X", "1.5"),
}


def _wrong_types() -> Iterator[Case]:
    for unit, keyword, model in keywords():
        for text in WRONG_TYPE[model["type"]]:
            yield _card(f"type-{keyword}-{text}", unit, keyword, text, f"keyword {keyword}")


def _wrong_values() -> Iterator[Case]:
    for unit, keyword, model in keywords():
        if "minimum" in model:
            for below in (1e-6, 1.0, 1e30):
                text = repr(float(model["minimum"]) - below)
                yield _card(
                    f"low-{keyword}-{text}", unit, keyword, text, f"keyword {keyword}: found"
                )
        if "maximum" in model:
            text = repr(float(model["maximum"]) + 1.0)
            yield _card(f"high-{keyword}", unit, keyword, text, f"keyword {keyword}: found")
        if "pattern" in model:
            for text in ("'../x'", "' '", "'a b'", "'%'"):
                yield _card(f"form-{keyword}-{text}", unit, keyword, text, keyword)
    for text in ("'MCI'", "'msc'", "'MSC2'"):
        yield _card(f"instrument-{text}", 0, "INSTRUME", text, "INSTRUME")
    for text in ("'yesterday'", "'2027-13-01T00:00:00'", "'2027-01-01T25:00:00'", "'27'"):
        yield _card(f"time-{text}", 0, "DATE-OBS", text, "DATE-OBS")
    for text in ("'electron'", "'parsec'", "'nonsense'", "17"):
        yield _card(f"unit-{text}", 1, "BUNIT", text, "BUNIT")


def _missing() -> Iterator[Case]:
    for unit, keyword, model in keywords():
        cause = f"keyword {keyword}" if model.get("required") else "CHECKSUM"
        yield Case(f"without-{keyword}", _Rename(unit, keyword, "X-ABSENT"), (cause,))
        if model.get("required"):
            yield Case(f"undefined-{keyword}", _Rewrite(unit, keyword, ""), (cause,))
    for keyword in ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2"):
        yield Case(f"without-{keyword}", _Rename(1, keyword, "X-ABSENT"), ("HDU 1", keyword))


def _card(name: str, unit: int, keyword: str, text: str, cause: str) -> Case:
    return Case(name, _Rewrite(unit, keyword, text), (cause,))


@dataclass(frozen=True)
class _Rewrite:
    """Gives a keyword another value, as the text on its card."""

    unit: int
    keyword: str
    text: str

    def __call__(self, good: bytes) -> bytes:
        card = f"{self.keyword:<8}= {self.text:>20}"
        return _replace(good, self.unit, self.keyword, card)


@dataclass(frozen=True)
class _Rename:
    """Gives a keyword another name."""

    unit: int
    keyword: str
    name: str

    def __call__(self, good: bytes) -> bytes:
        place = find_card(good, self.unit, self.keyword)
        card = good[place : place + CARD].decode()
        return _replace(good, self.unit, self.keyword, f"{self.name:<8}{card[8:]}")


def find_card(content: bytes, unit: int, keyword: str) -> int:
    """Return where the card of a keyword begins."""
    place = 0 if unit == 0 else content.index(b"XTENSION=")
    wanted = f"{keyword:<8}".encode()
    while content[place : place + 8] != wanted:
        assert content[place : place + 8] != b"END     ", f"the good frame has no {keyword}"
        place += CARD
    return place


def _replace(content: bytes, unit: int, keyword: str, card: str) -> bytes:
    place = find_card(content, unit, keyword)
    return content[:place] + f"{card:<80}"[:CARD].encode() + content[place + CARD :]


# --- bytes ------------------------------------------------------------------------------------


def _truncated() -> Iterator[Case]:
    """Cut anywhere before the last byte of data, at blocks and between."""
    for percent in range(1, 100):
        for more in (0, 7):
            yield Case(f"cut-{percent}-{more}", _Cut(percent, more), ("cut off|damaged|missing",))
    yield Case("cut-0", lambda good: good[:0], ("an empty file",))
    for length in (1, 8, 10, 29):
        yield Case(f"cut-to-{length}", _Keep(length), ("not a FITS file|damaged",))


@dataclass(frozen=True)
class _Keep:
    length: int

    def __call__(self, good: bytes) -> bytes:
        return good[: self.length]


@dataclass(frozen=True)
class _Cut:
    percent: int
    more: int

    def __call__(self, good: bytes) -> bytes:
        data_end = good.index(b"XTENSION=") + _header_length(good) + 2 * SHAPE[0] * SHAPE[1]
        return good[: data_end * self.percent // 100 - self.more + 7]


def _header_length(good: bytes) -> int:
    start = good.index(b"XTENSION=")
    place = start
    while good[place : place + 8] != b"END     ":
        place += CARD
    return -(-(place + CARD - start) // BLOCK) * BLOCK


def _flipped() -> Iterator[Case]:
    """One bit of the data, or of a value in a header, is another."""
    source = random.Random(5)  # noqa: S311 - no secret
    for number in range(300):
        place, bit = source.random(), 1 << source.randrange(8)
        yield Case(f"data-bit-{number}", _FlipData(place, bit), ("SCI: DATASUM",))
    for unit, keyword, _ in keywords():
        yield Case(
            f"header-bit-{keyword}",
            _FlipComment(unit, keyword),
            ("CHECKSUM: does not fit|keyword",),
        )


@dataclass(frozen=True)
class _FlipData:
    place: float
    bit: int

    def __call__(self, good: bytes) -> bytes:
        content = bytearray(good)
        start = good.index(b"XTENSION=") + _header_length(good)
        content[start + int(self.place * 2 * SHAPE[0] * SHAPE[1])] ^= self.bit
        return bytes(content)


@dataclass(frozen=True)
class _FlipComment:
    unit: int
    keyword: str

    def __call__(self, good: bytes) -> bytes:
        content = bytearray(good)
        content[find_card(good, self.unit, self.keyword) + 79] ^= 1  # a blank becomes !
        return bytes(content)


# --- layout -----------------------------------------------------------------------------------


def _structure() -> Iterator[Case]:
    for name, hdu, cause in _units():
        yield Case(f"unit-{name}", _SecondUnit(hdu), (cause,))
    yield Case(
        "no-second-unit", lambda good: good[: good.index(b"XTENSION=")], ("HDU SCI: missing",)
    )
    for text in ("7", "-16", "0", "'16'", "16.0"):
        yield _card(f"bitpix-{text}", 1, "BITPIX", text, "BITPIX")
    for text in ("-1", "1000", "'2'", "2.5", "T"):
        yield _card(f"naxis-{text}", 1, "NAXIS", text, "NAXIS")
    for keyword in ("NAXIS1", "NAXIS2"):
        for text in ("-5", "100000000", "'50'", "1.5", "99999999999999999999"):
            cause = "HDU 1 is cut off|header of HDU 1 is damaged"
            yield _card(f"{keyword}-{text}", 1, keyword, text, cause)
    for keyword, text in (("PCOUNT", "-1"), ("PCOUNT", "'0'"), ("GCOUNT", "0"), ("GCOUNT", "-3")):
        yield _card(f"{keyword}-{text}", 1, keyword, text, "HDU 1")
    for name in ("IMG", "SCIENCE", "", "PRIMARY"):
        if name:
            yield _card(f"extname-{name}", 1, "EXTNAME", f"'{name}'", "HDU SCI|checksum|CHECKSUM")


def _units() -> Iterator[tuple[str, fits.ImageHDU | fits.BinTableHDU, str]]:
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.zeros(3))], name="SCI")
    yield "table", table, "found a table, expected an image"
    for dtype in ("f4", "f8", "i4", "i8"):
        yield dtype, fits.ImageHDU(np.zeros(SHAPE, dtype), name="SCI"), "HDU SCI"
    yield "no-data", fits.ImageHDU(name="SCI"), "HDU SCI: holds no data"
    for shape in ((5,), (2, 3, 4), (1, 1, 1, 5)):
        cause = f"HDU SCI: found {len(shape)} axes, expected 2"
        yield f"{len(shape)}-axes", fits.ImageHDU(np.zeros(shape, "u2"), name="SCI"), cause


@dataclass(frozen=True)
class _SecondUnit:
    """Puts another unit in the place of the image."""

    hdu: fits.ImageHDU | fits.BinTableHDU

    def __call__(self, good: bytes) -> bytes:
        stream = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), self.hdu]).writeto(stream)
        written = stream.getvalue()
        return good[: good.index(b"XTENSION=")] + written[written.index(b"XTENSION=") :]


def _no_fits() -> Iterator[Case]:
    source = random.Random(7)  # noqa: S311 - no secret
    texts: dict[str, bytes] = {
        "empty": b"",
        "blank": b" " * BLOCK,
        "zeros": bytes(BLOCK),
        "text": b"This is no FITS file.\n" * 300,
        "png": b"\x89PNG\r\n\x1a\n" + bytes(4000),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(4000),
        "pickle": b"\x80\x04\x95" + bytes(4000),
        "zip": b"PK\x03\x04" + bytes(4000),
        "gzip-cut": gzip.compress(b"SIMPLE  =" * 5000)[:40],
        "gzip-of-text": gzip.compress(b"no FITS" * 1000),
        "gzip-magic": b"\x1f\x8b",
        "lower": b"simple  =                    T",
        "simple-only": b"SIMPLE  =                    T",
        "no-end": b"SIMPLE  =                    T".ljust(80) * 36,
        "utf-16": "SIMPLE  =".encode("utf-16"),
    }
    for number in range(60):
        texts[f"noise-{number}"] = source.randbytes(source.randrange(1, 9000))
    for number in range(40):
        noise = source.randbytes(source.randrange(1, 6000))
        texts[f"simple-and-noise-{number}"] = b"SIMPLE  =                    T".ljust(80) + noise
    for name, content in texts.items():
        yield Case(
            f"content-{name}", _Content(content), ("not a FITS|damaged|cut off|cannot be read",)
        )


@dataclass(frozen=True)
class _Content:
    content: bytes

    def __call__(self, good: bytes) -> bytes:
        return self.content


def _names() -> Iterator[Case]:
    parts = NAME.removesuffix(".fits").split("_")
    for place, part in enumerate(parts):
        for wrong in ("", "x y", f"{part}x1x"):
            changed = "_".join([*parts[:place], wrong, *parts[place + 1 :]]) + ".fits"
            yield Case(f"name-{changed}", _same, ("file name",), changed)
    for number, changed in enumerate(("a.fits", NAME[:-5], NAME.lower(), "_" + NAME)):
        yield Case(f"name-other-{number}", _same, ("file name",), changed)


def _same(good: bytes) -> bytes:
    return good
