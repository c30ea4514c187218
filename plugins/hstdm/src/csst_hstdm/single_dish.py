"""Reads single-dish FITS (SDFITS) of the Green Bank Telescope as dumps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from csst_hstdm.flags import FLAG_BITS
from csstcore.api import FileError, Meta, Spectra

_TABLE: Final = "SINGLE DISH"
_FACTS: Final = ("TELESCOP", "OBJECT", "PROJID", "DATE-OBS", "EXPOSURE", "BACKEND", "FRONTEND")
_WHOLE: Final = {
    "scan": "SCAN",
    "subscan": "INT",
    "sequence": "PROCSEQN",
    "window": "IFNUM",
    "polarisation": "PLNUM",
    "feed": "FDNUM",
}
_NUMBERS: Final[dict[str, tuple[str, u.UnitBase, u.UnitBase]]] = {
    "exposure_time": ("EXPOSURE", u.s, u.s),
    "rest_frequency": ("RESTFREQ", u.Hz, u.Hz),
    "t_cal": ("TCAL", u.K, u.K),
    "t_sys": ("TSYS", u.K, u.K),
    "frame_velocity": ("VFRAME", u.m / u.s, u.km / u.s),
}
_FRAMES: Final = {"FK5": "fk5", "FK4": "fk4", "ICRS": "icrs", "": "fk5"}


def read(path: Path, *, header_only: bool = False) -> tuple[Mapping[str, Any], list[Spectra]]:
    """Read single-dish FITS of the Green Bank Telescope.

    Every source and spectral window of a binary table ``SINGLE DISH`` (Garwood 2000, ASP Conf.
    216, 243) becomes one product. Old autocorrelator and VEGAS tables are alike.

    Parameters
    ----------
    path
        The file.
    header_only
        Give no product.

    Returns
    -------
    header, products
        Facts of the first row; `Spectra` in counts with a topocentric axis in Hz for each row,
        shape (rows, channels). ``rows`` has the columns of HSTDM dumps (the observer's
        position and velocity are those of the site) and diode (whether the noise diode
        fired), t_cal, t_sys, window, polarisation, feed, procedure, sequence, frame_velocity
        and velocity_definition as the file gives them.

    Raises
    ------
    FileError
        If a column is missing or the file is not FITS.
    """
    try:
        with fits.open(path, memmap=not path.name.endswith(".gz")) as units:
            tables = [unit for unit in units[1:] if unit.name == _TABLE]
            if not tables or not len(tables[0].data):
                raise FileError(f"{path}: has no table {_TABLE} with rows")
            first = {name: _plain(_value(tables[0], name)[0]) for name in _FACTS}
            if header_only:
                return first, []
            products = [part for unit in tables if len(unit.data) for part in _spectra(unit)]
    except KeyError as error:
        raise FileError(f"{path}: not single-dish FITS: {error.args[0]}") from error
    except (OSError, TypeError, ValueError) as error:  # of damaged tables
        raise FileError(f"{path}: cannot be read: {error}") from error
    return first, [
        replace(each, meta=replace(each.meta, frame=index)) for index, each in enumerate(products)
    ]


def _spectra(unit: Any) -> Iterator[Spectra]:
    """Yield the dumps of each source and spectral window, in the order of the table."""
    flux = np.ascontiguousarray(_value(unit, "DATA"), np.float32).reshape(len(unit.data), -1)
    channel = np.arange(1, flux.shape[1] + 1) - _value(unit, "CRPIX1")[:, None]
    axis = _value(unit, "CRVAL1")[:, None] + channel * _value(unit, "CDELT1")[:, None]
    rows, duration = _rows(unit), _value(unit, "DURATION")
    settings = list(zip(rows["object"], rows["window"], strict=True))
    for setting in dict.fromkeys(settings):
        here = np.array([each == setting for each in settings])
        yield Spectra(
            flux[here],
            axis[here] * u.Hz,
            u.count,
            rows=rows[here],
            meta=_meta(unit, rows[here], duration[here] * u.s),
            flag_bits=dict(FLAG_BITS),
        )


def _meta(unit: Any, rows: QTable, duration: u.Quantity) -> Meta:
    time = rows["time"]
    order = np.argsort(time.mjd)
    return Meta(
        telescope=str(_value(unit, "TELESCOP")[0]),
        instrument=str(_value(unit, "BACKEND")[0]),
        project_id=str(_value(unit, "PROJID")[0]),
        object=str(rows["object"][0]),
        filter=str(_value(unit, "FRONTEND")[0]),
        level=0,
        time=(time - duration / 2)[order[0]],
        end_time=(time + duration / 2)[order[-1]],
        exposure_time=rows["exposure_time"].sum(),
    )


def _rows(unit: Any) -> QTable:
    start = Time(list(_value(unit, "DATE-OBS")), format="isot", scale="utc")
    rows = QTable({"time": start + _value(unit, "DURATION") / 2 * u.s})
    for name, column in _WHOLE.items():
        rows[name] = _value(unit, column).astype(np.int32)
    for name, (column, given, wanted) in _NUMBERS.items():
        rows[name] = (_value(unit, column).astype(float) * given).to(wanted)
    mode = np.char.partition(_value(unit, "OBSMODE"), ":")
    rows["procedure"] = mode[:, 0]
    rows["state"] = np.where(np.char.find(mode[:, 2], "PSWITCHOFF") >= 0, "OFF", "ON")
    rows["object"] = _value(unit, "OBJECT")
    rows["diode"] = _value(unit, "CAL") == "T"
    rows["velocity_definition"] = _value(unit, "VELDEF")
    rows["sideband"] = np.char.add(_value(unit, "SIDEBAND"), "SB")
    rows["frame"] = np.full(len(rows), "TOPO")
    flag = np.zeros(len(rows), np.int32)
    position, known = _positions(unit)
    flag[~known] |= FLAG_BITS["pointing"]
    rows["ra"], rows["dec"] = position.T * u.deg
    for name, values in _observer(unit, rows["time"]):
        rows[name] = values
    rows["flag"] = flag
    return rows


def _positions(unit: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return ICRS positions in deg, shape (rows, 2), and which rows have one."""
    known = (_value(unit, "CTYPE2") == "RA") & (_value(unit, "CTYPE3") == "DEC")
    known &= np.isin(_value(unit, "RADESYS"), list(_FRAMES))
    position = np.full((len(known), 2), np.nan)
    for name in np.unique(_value(unit, "RADESYS")[known]):
        here = known & (_value(unit, "RADESYS") == name)
        frame = _FRAMES[str(name)]
        equinox = (
            {}
            if frame == "icrs"
            else {"equinox": Time(_value(unit, "EQUINOX")[here][0], format="jyear")}
        )
        sky = SkyCoord(
            _value(unit, "CRVAL2")[here] * u.deg,
            _value(unit, "CRVAL3")[here] * u.deg,
            frame=frame,
            **equinox,
        ).icrs
        position[here] = np.stack([sky.ra.deg, sky.dec.deg], axis=1)
    return position, known


def _observer(unit: Any, time: Time) -> Iterator[tuple[str, u.Quantity]]:
    """Yield position and velocity of the site, GCRS."""
    site = EarthLocation.from_geodetic(
        _value(unit, "SITELONG")[0] * u.deg,
        _value(unit, "SITELAT")[0] * u.deg,
        _value(unit, "SITEELEV")[0] * u.m,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tried to get polar motions")
        position, velocity = site.get_gcrs_posvel(time)
    yield from zip("xyz", position.xyz.to(u.km), strict=True)
    yield from zip(("vx", "vy", "vz"), velocity.xyz.to(u.km / u.s), strict=True)


def _value(unit: Any, name: str) -> Any:
    """Return a column as a plain array; text without padding."""
    if name not in unit.columns.names:
        raise KeyError(f"column {name} is missing")
    values = np.asarray(unit.data[name])
    return np.char.strip(values.astype(str)) if values.dtype.kind in "SU" else values


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
