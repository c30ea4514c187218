"""Lines in the spectrum of an OFF position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from csst_hstdm.outliers import MAD_TO_SIGMA

WIDTHS = (8, 16, 32, 64, 128, 256)
"""Channels over which a line is looked for."""


TOGETHER_S = 300.0
"""OFFs that are looked at together: in this time a line moves by 60 channels at most."""


def lines_of_offs(
    spectra: Sequence[NDArray[np.float64]], time_s: NDArray[np.float64], threshold: float
) -> list[NDArray[np.bool_]]:
    """Return the channels of emission lines in each OFF, by itself and with those near in time.

    Parameters
    ----------
    spectra
        Temperatures of each OFF; NaN where not known.
    time_s
        Times of the OFFs.
    threshold
        In units of the robust scatter.
    """
    found = []
    planes = np.stack(spectra)
    for spectrum, moment in zip(spectra, time_s, strict=True):
        near = planes[np.abs(time_s - moment) <= TOGETHER_S]
        good = np.isfinite(near)
        with np.errstate(invalid="ignore"):
            mean = np.where(good, near, 0.0).sum(axis=0) / good.sum(axis=0)
        found.append(line_channels(spectrum, threshold) | line_channels(mean, threshold))
    return found


def line_channels(spectrum: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Return the channels of emission lines in a spectrum.

    For each width the mean over it is compared with the mean of both flanks, which takes away any
    slope. A line stands out of the scatter of these differences over the band; smooth structure
    such as standing waves is in that scatter itself.

    Parameters
    ----------
    spectrum
        Temperatures; NaN where not known.
    threshold
        In units of the robust scatter.

    Returns
    -------
    NDArray
        True in lines, with the width at which they were found on either side.
    """
    found = np.zeros(len(spectrum), bool)
    good = np.isfinite(spectrum)
    total = np.concatenate([[0.0], np.cumsum(np.where(good, spectrum, 0.0))])
    count = np.concatenate([[0], np.cumsum(good)])
    for width in WIDTHS:
        if 8 * width > len(spectrum):
            break
        start = np.arange(width, len(spectrum) - 2 * width + 1)

        def mean(first: NDArray[np.intp], width: int = width) -> NDArray[np.float64]:
            number = count[first + width] - count[first]
            with np.errstate(invalid="ignore", divide="ignore"):
                value = (total[first + width] - total[first]) / number
            return np.asarray(np.where(number > width // 2, value, np.nan))

        contrast = mean(start) - (mean(start - width) + mean(start + width)) / 2
        known = contrast[np.isfinite(contrast)]
        if not len(known):
            continue
        deviation = contrast - np.median(known)
        scatter = MAD_TO_SIGMA * np.median(np.abs(known - np.median(known)))
        centres = start[deviation > threshold * scatter] + width // 2
        if scatter > 0 and len(centres):
            hit = np.zeros(len(spectrum), bool)
            hit[centres] = True
            found |= binary_dilation(hit, iterations=width)
    return found
