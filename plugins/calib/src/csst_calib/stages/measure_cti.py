"""Traps of every channel from the overscan behind flat fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_calib.agreement import per_channel
from csst_calib.readout import Readout
from csst_calib.stages.gain import GAIN_UNIT
from csst_calib.trail_fit import TrailFit, fit_trails, trail_of
from csst_calib.trail_profiles import (
    TrailProfile,
    edge_regions,
    mean_regions,
    parallel_profiles,
    serial_profile,
    subtracted,
)
from csst_calib.traps import DIRECTIONS
from csstcore.api import (
    Image,
    Reference,
    Table,
    UnprocessableData,
    common_meta,
    metric,
    note_frames,
    replace,
)

SPECIES = 2
"""Species that a reference has room for."""
TRAIL_PIXELS = 16
"""Pixels of a trail that a reference shows."""
BRIGHT_FRACTION = 0.8
"""Frames of at least this part of the highest charge make the trails that are shown."""


def measure_cti(
    flats: Sequence[Image],
    biases: Sequence[Image],
    readout: Reference[Readout],
    gain: Reference[Table] | None = None,
) -> Annotated[Table, "cti"]:
    """Measure the traps of every channel by their trails in the overscan.

    Extended-pixel-edge response: the traps filled by the last rows (parallel) and columns
    (serial) of a flat field release into the overscan pixels that follow. The mean of the
    bias frames, with its fixed pattern, is subtracted first; the level comes from pixels
    that no charge can have reached. See `csst_calib.trail_profiles` and
    `csst_calib.trail_fit`.

    Parameters
    ----------
    flats
        Raw flat frames in adu, shape ``readout.raw_shape``, best of several levels over a
        factor of two.
    biases
        Raw bias frames in adu.
    readout
        Geometry of the raw frames; with prescan, and overscan in both directions.
    gain
        As for `apply_gain`. Default: each frame's ``meta.gain``.

    Returns
    -------
    cti
        One row per channel: ``channel`` (from 1), and for each direction (``parallel_``,
        ``serial_``) ``density`` and ``density_error`` of shape (channels, 2), in electrons
        per transfer of a packet of 1e5 electron (0 where there is no second species),
        ``release`` (pixel), ``exponent`` and ``exponent_error``, and the mean trail of the
        brightest frames with its error and the fit, ``trail``, ``trail_error`` and
        ``trail_fit`` (electron, shape (channels, 16)). Metrics: ``parallel_cti`` and
        ``serial_cti``, the relative loss per transfer of 1e4 electron, and the
        ``parallel_trail_chi_square`` and ``serial_trail_chi_square``.

    Raises
    ------
    UnprocessableData
        If the frames do not fit the geometry, the geometry has no prescan or overscan, a frame
        was taken with an electron-multiplying gain, or no trail is seen.
    """
    _require(flats, biases, readout)
    gains = [_gain(image, gain, readout) for image in flats]
    profiles = _profiles(flats, biases, readout, gains)
    table = QTable({"channel": np.arange(1, readout.channels + 1, dtype=np.int32)})
    transfers = {
        "parallel": readout.prescan_rows + readout.channel_rows,
        "serial": readout.prescan_columns + readout.channel_columns,
    }
    for direction, count in transfers.items():
        try:
            fit = fit_trails(profiles[direction], count)
        except ValueError as error:
            raise UnprocessableData(f"{direction} trails: {error}") from None
        _add_traps(table, direction, fit)
        _add_trails(table, direction, profiles[direction], fit, count)
        metric(f"{direction}_trail_chi_square", fit.chi_square)
        lost = [float((t.density * 0.1**t.exponent).sum()) for t in fit.traps]
        metric(f"{direction}_cti", float(np.median(lost)) / 1e4)
    note_frames(flats, biases)
    return Table(table, common_meta([image.meta for image in flats]))


def _require(flats: Sequence[Image], biases: Sequence[Image], readout: Readout) -> None:
    for name, images in (("flat", flats), ("bias", biases)):
        if not images:
            raise UnprocessableData(f"there is no {name} frame")
        for image in images:
            if image.shape != readout.raw_shape:
                raise UnprocessableData(
                    f"a {name} frame has shape {image.shape}; expected {readout.raw_shape} by "
                    "the readout geometry"
                )
            em_gain = image.meta.em_gain
            if em_gain is not None and float(em_gain) != 1:
                raise UnprocessableData(
                    f"a {name} frame has the EM gain {float(em_gain):g}; expected 1: the single "
                    "electrons of a trail do not stand out of the noise of the register's gain"
                )
    for name in ("prescan_columns", "overscan_columns", "overscan_rows"):
        least = 1 if name == "prescan_columns" else 4
        if getattr(readout, name) < least:
            raise UnprocessableData(
                f"the readout geometry has {name} {getattr(readout, name)}; expected at least "
                f"{least} to see trails"
            )


def _gain(image: Image, gain: Table | None, readout: Readout) -> NDArray[np.float32]:
    values = image.meta.gain if gain is None else u.Quantity(gain.table["gain"], GAIN_UNIT)
    return per_channel(values, GAIN_UNIT, readout, "gain")


def _profiles(
    flats: Sequence[Image],
    biases: Sequence[Image],
    readout: Readout,
    gains: Sequence[NDArray[np.float32]],
) -> dict[str, list[list[TrailProfile]]]:
    """Return the trails of every direction, by frame and channel."""
    bias = [
        mean_regions([edge_regions(image.data, channel, readout) for image in biases])
        for channel in readout
    ]
    # The bias is the same for all flats: its error does not fall with their number.
    noise = np.sqrt(1 + len(flats) / len(biases))
    found: dict[str, list[list[TrailProfile]]] = {name: [] for name in DIRECTIONS}
    for image, gain in zip(flats, gains, strict=True):
        light = [
            subtracted(edge_regions(image.data, channel, readout), bias[channel.index])
            for channel in readout
        ]
        values = [float(value) for value in gain]
        parallel = parallel_profiles(light, readout, values)
        serial = [serial_profile(*pair) for pair in zip(light, values, strict=True)]
        for name, profiles in zip(DIRECTIONS, (parallel, serial), strict=True):
            found[name].append([replace(p, error=noise * p.error) for p in profiles])
    return found


def _add_traps(table: QTable, direction: str, fit: TrailFit) -> None:
    density, error = (np.zeros((len(table), SPECIES)) for _ in range(2))
    release = np.ones((len(table), SPECIES))
    for row, (traps, errors) in enumerate(zip(fit.traps, fit.density_error, strict=True)):
        species = len(traps.density)
        density[row, :species], error[row, :species] = traps.density, errors
        release[row, :species] = traps.release_pixel
    table[f"{direction}_density"] = density * u.electron
    table[f"{direction}_density_error"] = error * u.electron
    table[f"{direction}_release"] = release * u.pixel
    table[f"{direction}_exponent"] = [traps.exponent for traps in fit.traps]
    table[f"{direction}_exponent_error"] = np.full(len(table), fit.exponent_error)


def _add_trails(
    table: QTable,
    direction: str,
    profiles: Sequence[Sequence[TrailProfile]],
    fit: TrailFit,
    transfers: int,
) -> None:
    """Add the mean trail of the brightest frames and the fit, NaN beyond the overscan."""
    brightest = max(frame[0].charge for frame in profiles)
    bright = [frame for frame in profiles if frame[0].charge >= BRIGHT_FRACTION * brightest]
    shown = min(TRAIL_PIXELS, len(bright[0][0].trail))
    columns = {
        name: np.full((len(table), TRAIL_PIXELS), np.nan)
        for name in ("trail", "trail_error", "trail_fit")
    }
    for row, traps in enumerate(fit.traps):
        own = [frame[row] for frame in bright]
        columns["trail"][row, :shown] = np.mean([p.trail[:shown] for p in own], axis=0)
        errors = np.array([p.error[:shown] for p in own])
        columns["trail_error"][row, :shown] = np.sqrt((errors**2).sum(axis=0)) / len(own)
        model = [trail_of(traps, p.charge, transfers, shown) for p in own]
        columns["trail_fit"][row, :shown] = np.mean(model, axis=0)
    for name, values in columns.items():
        table[f"{direction}_{name}"] = values * u.electron
