"""Headers: canonical names, types, core fields and keys."""

from __future__ import annotations

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from csstcore.definitions.header import read_header
from csstcore.definitions.meta import read_keys, read_meta
from csstcore.definitions.recognise import recognises, why_not
from csstcore.errors import ConfigurationError, FileError


@pytest.fixture
def save(tmp_path):
    """Write a file from cards of the primary and the image unit."""

    def write(primary=(), science=(), name="CAM_10100000001_20270102030405_07.fits"):
        first, second = fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 3), np.float32), name="SCI")
        for hdu, cards in ((first, primary), (second, science)):
            for keyword, value in dict(cards).items():
                hdu.header[keyword] = value
        path = tmp_path / name
        fits.HDUList([first, second]).writeto(path, overwrite=True)
        return path

    return write


GOOD = {
    "INSTRUME": "CAM",
    "OBSID": "10100000001",
    "EXPTIME": 150,
    "DATE-OBS": "2027-01-02T03:04:05",
}


def test_synonyms_become_canonical_and_types_declared(camera, save) -> None:
    path = save({**GOOD, "OBS_ID": "123456789"}, {"GAIN1": 1})
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["OBSID"]
    header = read_header(camera, path)
    assert header["OBSID"] == "123456789"
    assert header["GAIN01"] == 1.0
    assert type(header["EXPTIME"]) is float
    assert header.fields["detector"] == "07"
    assert pickle.loads(pickle.dumps(header)) == header  # noqa: S301 - between workers


def test_a_keyword_is_found_in_whichever_unit_has_it(camera, save) -> None:
    header = read_header(camera, save({"GAIN01": 2.5}, GOOD))
    assert (header["OBSID"], header["GAIN01"]) == ("10100000001", 2.5)


def test_an_identifier_stored_as_a_number_is_text(camera, save) -> None:
    assert read_header(camera, save({**GOOD, "OBSID": 10100000001}))["OBSID"] == "10100000001"


def test_core_fields_have_units(camera, save) -> None:
    gains = {f"GAIN{n:02d}": 1.0 + n / 10 for n in range(1, 5)}
    meta = read_meta(camera, read_header(camera, save({**GOOD, "TEMP": 173.0}, gains)))
    assert meta.exposure_time == 150 * u.s
    assert u.allclose(meta.gain, [1.1, 1.2, 1.3, 1.4] * u.electron / u.adu)
    assert meta.temperature == 173 * u.K
    assert meta.time.isot == "2027-01-02T03:04:05.000"
    assert (meta.detector, meta.level, meta.obs_id) == (7, 1, "10100000001")


def test_one_gain_is_a_gain_for_all(camera, save) -> None:
    meta = read_meta(camera, read_header(camera, save(GOOD, {"GAIN1": 1.1})))
    assert meta.gain == 1.1 * u.electron / u.adu


def test_some_gains_of_many_are_an_error(camera, save) -> None:
    header = read_header(camera, save(GOOD, {"GAIN01": 1.1, "GAIN03": 1.1}))
    with pytest.raises(FileError, match="GAIN02, GAIN04 absent, though GAIN01 is given"):
        read_meta(camera, header)


def test_fill_values_and_absent_keywords_give_none(camera, save) -> None:
    meta = read_meta(camera, read_header(camera, save({**GOOD, "TEMP": -9999.0})))
    assert meta.temperature is None
    assert meta.gain is None


def test_date_and_time_of_2022_headers_are_joined(camera, save) -> None:
    cards = {**GOOD, "DATE-OBS": "2021-05-25", "TIME-OBS": "22:00:01.5"}
    meta = read_meta(camera, read_header(camera, save(cards)))
    assert meta.time.isot == "2021-05-25T22:00:01.500"


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"EXPTIME": "long"}, "exposure_time: keyword EXPTIME: found 'long', expected a number"),
        ({"DATE-OBS": "yesterday"}, "time: DATE-OBS: found 'yesterday', expected a time"),
        ({"OBSID": 1.5}, "obs_id: keyword OBSID: found 1.5, expected text"),
        ({"EXPTIME": True}, "EXPTIME: found True, expected a number"),
    ],
)
def test_wrong_values_are_named_with_the_file(camera, save, cards, message) -> None:
    path = save({**GOOD, **cards})
    with pytest.raises(FileError, match=message) as caught:
        read_meta(camera, read_header(camera, path))
    assert str(path) in str(caught.value)


def test_a_nan_keyword_is_named(camera, save) -> None:
    path = save(GOOD)
    card = f"EXPTIME = {150:>20}".encode()
    assert card in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(card, f"EXPTIME = {'NaN':>20}".encode()))
    with pytest.raises(FileError, match="EXPTIME: found 'NaN', expected a number"):
        read_meta(camera, read_header(camera, path))


def test_recognition_needs_name_and_keywords(camera, save) -> None:
    path = save(GOOD)
    assert recognises(camera, path, read_header(camera, path))
    other = save({**GOOD, "INSTRUME": "IFS"}, name="x.fits")
    reasons = why_not(camera, other, read_header(camera, other))
    assert "file name 'x.fits': expected CAM_" in reasons[0]
    assert reasons[1] == "keyword INSTRUME: found 'IFS', expected 'CAM' or 'CAM2'"


def halves(header):
    """Key function of the definition below."""
    return [np.int64(int(header["EXPTIME"]) // 100), 7]


def test_keys_come_from_fields_keywords_and_functions(define, save) -> None:
    definition = define(
        "[definition]\nname='d'\nsummary=''\nproduct='Image'\n[meta]\nobs_id='OBSID'\n"
        f"[keys]\nnight='DATE-OBS'\nhalf={{function='{__name__}:halves'}}\n"
        "bad={function='json:nothing'}"
    )
    import sys

    sys.modules.setdefault(__name__, sys.modules[halves.__module__])
    header = read_header(definition, save(GOOD))
    meta = read_meta(definition, header)
    keys = read_keys(definition, header, meta, ["obs_id", "night", "half"])
    assert keys == {"obs_id": ("10100000001",), "night": ("2027-01-02T03:04:05",), "half": (1, 7)}
    with pytest.raises(ConfigurationError, match=r"no key 'nigth' .did you mean 'night'"):
        read_keys(definition, header, meta, ["nigth"])
    with pytest.raises(FileError, match="gives no value for the key 'filter'"):
        read_keys(definition, header, meta, ["filter"])
    with pytest.raises(FileError, match="json:nothing failed"):
        read_keys(definition, header, meta, ["bad"])
