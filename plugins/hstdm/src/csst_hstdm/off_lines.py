"""Lines in the spectrum of an OFF position.

Those of ONs are looked for in Level 2, where baselines are fitted; an OFF has only its flanks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from csst_hstdm.averages import Average
from csst_hstdm.dump_rows import rows_of, seconds, states, tuning
from csst_hstdm.line_places import directions, line_places
from csst_hstdm.receiver import Receiver
from csst_hstdm.scatter import scatter_about_zero
from csstcore.api import Spectra

NARROWEST = 4
"""Channels over which a line is looked for at least, and twice as many again and again."""
WIDE = 16
"""Lines wider than this part of the band leave too little of it to tell the scatter: that of the
next narrower widths stands for it, as large for waves, less by the root for what is wider."""
Plane = NDArray[np.float64]


def off_shifts(
    series: Sequence[Spectra], offs: Sequence[Average], receiver: Receiver
) -> NDArray[np.int64]:
    """Return by how many channels lines are shifted in each OFF, and the number of its position.

    Parameters
    ----------
    series
        All files.
    offs
        OFFs of one tuning.
    receiver
        Range of one tuning; beam, as OFFs nearer to each other are one position.

    Returns
    -------
    NDArray
        Shape (OFFs, 2); shifts are 0 where the velocity is not known.
    """
    times, values = [], []
    for part in series:
        rows = rows_of(part)
        off = states(rows) == "OFF"
        if off.any() and tuning(part).near(offs[0].tuning, receiver.tuning_range_hz):
            values.append(np.column_stack([line_places(part), directions(rows)])[off])
            times.append(seconds(rows)[off])
    time_s, value = np.concatenate(times), np.concatenate(values)
    known = np.isfinite(time_s + value.sum(axis=1))
    shifts = np.zeros((len(offs), 2), np.int64)
    if not known.any():
        return shifts
    nearest = value[known][[np.argmin(np.abs(time_s[known] - off.time_s)) for off in offs]]
    shifts[:, 0] = np.round(nearest[:, 0] - nearest[0, 0])
    beam_radian = receiver.beam_fwhm_radian(offs[0].tuning.first_hz)
    for k, direction in enumerate(nearest[:, 1:]):
        apart = np.linalg.norm(nearest[:, 1:] - direction, axis=1)
        shifts[k, 1] = np.argmax(apart <= beam_radian)
    return shifts


def lines_of_offs(
    spectra: Sequence[Plane],
    noise: Plane,
    shifts: NDArray[np.int64],
    threshold: float,
    *,
    longest_wave: float,
) -> list[NDArray[np.bool_]]:
    """Return the channels of emission lines in each OFF, by itself and with those of its position.

    OFFs of one position are averaged at the frequencies of the local standard of rest, where
    their lines stay and errors of single channels do not.

    Parameters
    ----------
    spectra
        Temperatures of each OFF; NaN where not known.
    noise
        Of a channel of each OFF by the radiometer equation.
    shifts
        Of `off_shifts`.
    threshold
        In units of the robust scatter.
    longest_wave
        Longest period of standing waves, in channels.
    """
    found = [
        line_channels(plane, sigma, threshold, longest_wave)
        for plane, sigma in zip(spectra, noise, strict=True)
    ]
    channels = len(spectra[0])
    for position in np.unique(shifts[:, 1]):
        members = [int(k) for k in np.flatnonzero(shifts[:, 1] == position)]
        if len(members) < 2:
            continue
        start = np.max(shifts[members, 0]) - shifts[members, 0]
        total, number = np.zeros(channels + np.max(start)), np.zeros(channels + np.max(start))
        for k, first in zip(members, start, strict=True):
            good = np.isfinite(spectra[k])
            total[first : first + channels] += np.where(good, spectra[k], 0.0)
            number[first : first + channels] += good
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(number > np.max(number) / 2, total / number, np.nan)
        sigma = float(np.sqrt(np.sum(noise[members] ** 2))) / len(members)
        lines = line_channels(mean, sigma, threshold, longest_wave)
        for k, first in zip(members, start, strict=True):
            found[k] |= lines[first : first + channels]
    return found


def line_channels(
    spectrum: Plane, noise: float, threshold: float, longest_wave: float
) -> NDArray[np.bool_]:
    """Return the channels of emission lines in a spectrum.

    For each width the mean over it is compared with the mean of both flanks, which takes away any
    slope. A line stands out of the scatter of these differences over the band; smooth structure
    such as standing waves is in that scatter itself, or shorter than the width. The scatter of few
    differences is uncertain: it is at least that of the noise of channels, which are many.

    Parameters
    ----------
    spectrum
        Temperatures; NaN where not known.
    noise
        Of a channel by the radiometer equation; that of the spectrum is believed to half of it.
    threshold
        In units of the robust scatter.
    longest_wave
        Longest period of standing waves, in channels.

    Returns
    -------
    NDArray
        True in lines, with the width at which they were found on either side.
    """
    found = np.zeros(len(spectrum), bool)
    good = np.isfinite(spectrum)
    total = np.concatenate([[0.0], np.cumsum(np.where(good, spectrum, 0.0))])
    count = np.concatenate([[0], np.cumsum(good)])
    scatters: dict[int, float] = {}
    apart = spectrum[NARROWEST:] - spectrum[:-NARROWEST]
    apart = apart[np.isfinite(apart)]
    white = scatter_about_zero(apart) / np.sqrt(2) if len(apart) else 0.0
    white = float(np.nanmax([white, noise / 2]))
    for width in _widths(len(spectrum), longest_wave):
        start = np.arange(width, len(spectrum) - 2 * width + 1)

        def mean(first: NDArray[np.intp], width: int = width) -> Plane:
            number = count[first + width] - count[first]
            with np.errstate(invalid="ignore", divide="ignore"):
                value = (total[first + width] - total[first]) / number
            return np.asarray(np.where(number > width // 2, value, np.nan))

        contrast = mean(start) - (mean(start - width) + mean(start + width)) / 2
        known = contrast[np.isfinite(contrast)]
        if not len(known):
            continue
        narrower = [
            sigma * (np.sqrt(w / width) if width > longest_wave else 1.0)
            for w, sigma in scatters.items()
            if w * 4 * WIDE >= len(spectrum)
        ]
        wide = width * WIDE > len(spectrum) and bool(narrower)
        middle = 0.0 if wide else float(np.median(known))
        if wide:
            scatter = max(narrower)
        else:
            scatter = scatter_about_zero(known - middle)
            scatter = scatters[width] = max(scatter, white * np.sqrt(1.5 / width))
        centres = start[contrast - middle > threshold * scatter] + width // 2
        if scatter > 0 and len(centres):
            hit = np.zeros(len(spectrum), bool)
            hit[centres] = True
            found |= binary_dilation(hit, iterations=width)
    return found


def _widths(channels: int, longest_wave: float) -> list[int]:
    """Return the widths of lines: to an eighth of the band, a quarter if waves are shorter."""
    widths = []
    width = NARROWEST
    while 8 * width <= channels or (4 * width <= channels and width > longest_wave):
        widths.append(width)
        width *= 2
    return widths
