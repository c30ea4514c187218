"""Position switching with a noise diode, as the observatory calibrates it."""

from __future__ import annotations

from typing import Annotated, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csstcore.api import Spectra, UnprocessableData, metric


def calibrate_position_switch(dumps: Spectra) -> Annotated[Spectra, "calibrated"]:
    """Calibrate on-source against off-source dumps with the noise diode.

    ``T_A = T_sys (on - off) / off`` with on and off the means of the dumps with and without
    diode, and ``T_sys = T_cal <off> / <off_cal - off> + T_cal / 2`` over the inner 80 % of
    the band of the off position (Winkel et al. 2012, A&A 540, A140, eq. 5).

    Parameters
    ----------
    dumps
        Counts; ``rows`` has OBSMODE, IFNUM, PLNUM, CAL, TCAL, EXPOSURE.

    Returns
    -------
    calibrated
        One spectrum per window and polarisation, in kelvin; ``rows`` has TSYS.
    """
    rows = _rows(dumps)
    flux, axes, kept = [], [], []
    for window, polarisation in sorted(set(zip(rows["IFNUM"], rows["PLNUM"], strict=True))):
        here = (rows["IFNUM"] == window) & (rows["PLNUM"] == polarisation)
        on, on_cal = (_phase(dumps, rows, here, "PSWITCHON", cal) for cal in "FT")
        off, off_cal = (_phase(dumps, rows, here, "PSWITCHOFF", cal) for cal in "FT")
        edge = dumps.flux.shape[1] // 10
        inner = slice(edge, dumps.flux.shape[1] - edge + 1)
        row = rows[_one(rows, here, "PSWITCHON", "F")]
        t_cal = rows["TCAL"][_one(rows, here, "PSWITCHOFF", "F")].to_value(u.K)
        t_sys = t_cal * np.mean(off[inner]) / np.mean((off_cal - off)[inner]) + t_cal / 2
        reference = (off + off_cal) / 2
        flux.append(t_sys * ((on + on_cal) / 2 - reference) / reference)
        axes.append(dumps.axis[_one(rows, here, "PSWITCHON", "F")])
        same = {name: row[name] for name in ("IFNUM", "PLNUM", "SCAN", "EXPOSURE")}
        kept.append({**same, "TSYS": t_sys * u.K})
    metric("system_temperature_kelvin", float(np.mean([row["TSYS"].value for row in kept])))
    return Spectra(
        np.asarray(flux, np.float32), u.Quantity(axes), u.K, rows=QTable(rows=kept), meta=dumps.meta
    )


def average_polarisations(calibrated: Spectra) -> Annotated[Spectra, "spectra"]:
    """Average the polarisations of each frequency window.

    Weights are exposure time over system temperature squared (the radiometer equation).

    Parameters
    ----------
    calibrated
        Spectra in kelvin with TSYS and EXPOSURE in ``rows``.
    """
    rows = _rows(calibrated)
    flux, axes, kept = [], [], []
    for window in sorted(set(rows["IFNUM"])):
        where = np.flatnonzero(rows["IFNUM"] == window)
        weight = (rows["EXPOSURE"] / rows["TSYS"] ** 2)[where].value
        flux.append(np.average(calibrated.flux[where], axis=0, weights=weight))
        axes.append(calibrated.axis[where[0]])
        t_sys = np.sqrt(np.average(rows["TSYS"][where].value ** 2, weights=weight)) * u.K
        kept.append({"IFNUM": window, "TSYS": t_sys, "EXPOSURE": rows["EXPOSURE"][where].sum()})
    return Spectra(
        np.asarray(flux, np.float32),
        u.Quantity(axes),
        calibrated.unit,
        rows=QTable(rows=kept),
        meta=calibrated.meta,
    )


def _rows(spectra: Spectra) -> QTable:
    if spectra.rows is None:
        raise UnprocessableData("the spectra carry no rows; expected OBSMODE, IFNUM, PLNUM, CAL")
    return spectra.rows


def _one(rows: QTable, here: NDArray[np.bool_], position: str, cal: str) -> int:
    mode = np.char.find(np.asarray(rows["OBSMODE"], str), position) >= 0
    (found,) = np.nonzero(here & mode & (np.asarray(rows["CAL"], str) == cal))
    if len(found) != 1:
        window = int(rows["IFNUM"][here][0])
        raise UnprocessableData(
            f"window {window}: found {len(found)} dumps {position} with CAL={cal}; expected 1"
        )
    return int(found[0])


def _phase(
    dumps: Spectra, rows: QTable, here: NDArray[np.bool_], position: str, cal: str
) -> NDArray[Any]:
    return np.asarray(dumps.flux[_one(rows, here, position, cal)], float)
