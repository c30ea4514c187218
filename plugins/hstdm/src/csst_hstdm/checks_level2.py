"""Quality numbers of averaged spectra and maps."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_hstdm.dump_rows import numbers
from csst_hstdm.scatter import scatter_about_zero
from csst_hstdm.spectral_map import SpectralMap
from csstcore.api import NotApplicable, Spectra


def rms_over_prediction(spectrum: Spectra) -> float:
    """Scatter of an average outside of its lines over that predicted from its errors.

    Parameters
    ----------
    spectrum
        Of `average_spectra`. Far above 1 if noise does not average down: baselines, interference.
    """
    if spectrum.rows is None or "rms" not in spectrum.rows.colnames:
        raise NotApplicable("the spectrum carries no rms")
    predicted = numbers(spectrum.rows, "rms_predicted", u.K)[0]
    return float(numbers(spectrum.rows, "rms", u.K)[0] / predicted)


def map_coverage(cube: SpectralMap) -> float:
    """Fraction of the pixels of a map that have data and are no border.

    Parameters
    ----------
    cube
        Of `grid_spectra`; a pixel counts if it does in half of the channels.
    """
    if cube.flags is None:
        raise NotApplicable("the cube carries no flags")
    good = np.zeros(cube.flags.shape[1:], np.int64)
    for plane in cube.flags:
        good += plane == 0
    return float(np.mean(good > len(cube.flags) / 2))


def noise_over_map(cube: SpectralMap) -> float:
    """Scatter of the pixels that are no border, over that of their errors.

    Parameters
    ----------
    cube
        Of `grid_spectra`. Differences of channels three apart, by their median, are blind to lines
        and baselines.
    """
    if cube.variance is None or len(cube.data) < 20:
        raise NotApplicable("the cube carries no errors, or has fewer than 20 channels")
    step = max(len(cube.data) // 100, 4)
    low, high = slice(0, -3, step), slice(3, None, step)
    with np.errstate(invalid="ignore"):
        variance = cube.variance[low] + cube.variance[high]
        pull = np.abs(cube.data[high] - cube.data[low]) / np.sqrt(variance)
    if cube.flags is not None:
        pull = pull[(cube.flags[low] | cube.flags[high]) == 0]
    pull = pull[np.isfinite(pull)]
    if not pull.size:
        raise NotApplicable("no pixel of the map is without flag")
    return scatter_about_zero(pull)
