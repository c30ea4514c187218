"""Position switching with a noise diode instead of loads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.flags import FLAG_BITS
from csst_hstdm.radiometer import difference_noise
from csstcore.api import Spectra, UnprocessableData, caveat, metric

_KEY = ("window", "polarisation", "feed", "subscan")
_NEEDED = ("state", "scan", "sequence", "diode", "t_cal", "exposure_time", *_KEY)


def calibrate_noise_diode(
    dumps: Spectra,
    *,
    edge_fraction: Annotated[float, Field(ge=0, lt=0.5)] = 0.1,
    t_sys_kelvin: Annotated[float, Field(gt=0)] | None = None,
) -> Annotated[Spectra, "calibrated"]:
    """Calibrate ON against OFF dumps with the noise diode.

    ``T_A = T_sys (on - off) / off``, with on and off the means of the dumps with and without
    diode and ``T_sys = T_cal <off> / <off_diode - off> + T_cal / 2`` over the band without its
    edges (Winkel, Kraus & Bach 2012, A&A 540, A140). An ON belongs to the OFF of the same
    procedure, window, polarisation, feed and subscan.

    Parameters
    ----------
    dumps
        Counts; ``rows`` as the reader ``hstdm.single_dish`` gives them.
    edge_fraction
        Part of the band at either end that is left out for the system temperature, and flagged
        ``bad_channel``: the filters cut it off.
    t_sys_kelvin
        System temperature of dumps whose OFF was observed without diode; by default they are
        left out.

    Returns
    -------
    calibrated
        Antenna temperature, one row for each ON, with t_sys, the effective exposure_time
        ``t_on t_off / (t_on + t_off)`` and the variance of the radiometer equation.

    Raises
    ------
    UnprocessableData
        If no ON has an OFF with a system temperature.
    """
    rows = dumps.rows
    missing = [name for name in _NEEDED if rows is None or name not in rows.colnames]
    if rows is None or missing:
        raise UnprocessableData(f"the dumps have no column {', '.join(missing)}")
    flux, axes, variances, kept, left = [], [], [], [], []
    for label, on, off in _pairs(rows):
        if not off:
            left.append(f"{label} has no OFF")
            continue
        t_sys = _system_temperature(dumps, rows, off, edge_fraction)
        t_sys = t_sys_kelvin if t_sys is None else t_sys
        if t_sys is None or not np.isfinite(t_sys) or t_sys <= 0:
            left.append(f"{label} has no system temperature ({t_sys})")
            continue
        signal, reference = _mean(dumps, on), _mean(dumps, off)
        with np.errstate(divide="ignore", invalid="ignore"):
            flux.append(t_sys * (signal - reference) / reference)
        times = [float(np.sum(rows["exposure_time"][group]).to_value(u.s)) for group in (on, off)]
        axis = dumps.axis if dumps.axis.ndim == 1 else dumps.axis[on[-1]]
        width_hz = abs(float(np.median(np.diff(axis.to_value(u.Hz)))))
        variances.append(difference_noise(t_sys, width_hz, *times) ** 2)
        axes.append(axis)
        kept.append((on[-1], t_sys, times[0] * times[1] / sum(times)))
    if left:
        caveat("; ".join(left))
    if not kept:
        raise UnprocessableData(
            "no ON could be calibrated: " + ("; ".join(left) or "there is none")
        )
    metric("t_sys_kelvin", float(np.median([t_sys for _, t_sys, _ in kept])))
    metric("calibrated_spectra", len(kept))
    channels = dumps.flux.shape[1]
    edge = int(edge_fraction * channels)
    flags = np.zeros((len(kept), channels), np.uint16)
    flags[:, :edge] = flags[:, channels - edge :] = FLAG_BITS["bad_channel"]
    return Spectra(
        flux=np.asarray(flux, np.float32),
        axis=axes[0] if dumps.axis.ndim == 1 else u.Quantity(axes),
        unit=u.K,
        variance=np.repeat(np.asarray(variances, np.float32)[:, None], channels, axis=1),
        flags=flags,
        rows=_kept_rows(rows, kept),
        meta=dumps.meta,
        flag_bits=dict(FLAG_BITS),
    )


def _kept_rows(rows: QTable, kept: list[tuple[int, float, float]]) -> QTable:
    table = rows[[row for row, _, _ in kept]]
    table["t_sys"] = [t_sys for _, t_sys, _ in kept] * u.K
    table["exposure_time"] = [time for _, _, time in kept] * u.s
    table.remove_column("diode")
    return table


def _pairs(rows: QTable) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield a label, the dumps of each ON and those of its OFF; diode first, if it fired."""
    procedure = np.asarray(rows["scan"]) - np.asarray(rows["sequence"])
    keys = np.stack([procedure, *(np.asarray(rows[name]) for name in _KEY)], axis=1)
    on = np.asarray(rows["state"]) == "ON"
    for key in np.unique(keys[on], axis=0):
        here = (keys == key).all(axis=1)
        phases = [_dumps(here & side, rows) for side in (on, np.asarray(rows["state"]) == "OFF")]
        scan = rows["scan"][phases[0][0]]
        label = f"scan {scan}, " + ", ".join(
            f"{name} {value}" for name, value in zip(_KEY, key[1:], strict=True)
        )
        yield label, phases[0], phases[1]


def _dumps(here: NDArray[np.bool_], rows: QTable) -> list[int]:
    """Return the indices of dumps, those with diode first."""
    return sorted((int(i) for i in np.flatnonzero(here)), key=lambda i: not rows["diode"][i])


def _mean(dumps: Spectra, group: list[int]) -> NDArray[np.float64]:
    """Return the mean of dumps with and without diode, NaN where any is."""
    return np.asarray(np.mean(dumps.flux[group], axis=0, dtype=np.float64))


def _system_temperature(
    dumps: Spectra, rows: QTable, group: list[int], edge_fraction: float
) -> float | None:
    """Return the system temperature of a position in kelvin; None without diode."""
    diode = np.asarray(rows["diode"])[group]
    if diode.all() or not diode.any():
        return None
    channels = dumps.flux.shape[1]
    edge = int(edge_fraction * channels)
    inner = slice(edge, channels - edge + (1 if edge else 0))
    fired, quiet = (
        _mean(dumps, [index for index, lit in zip(group, diode, strict=True) if lit == wanted])
        for wanted in (True, False)
    )
    t_cal: Any = rows["t_cal"][group][~diode][0].to_value(u.K)
    good = np.isfinite(fired[inner]) & np.isfinite(quiet[inner])
    step = np.mean((fired - quiet)[inner][good]) if good.any() else 0.0
    if step <= 0:
        return np.nan
    return float(t_cal * np.mean(quiet[inner][good]) / step + t_cal / 2)
