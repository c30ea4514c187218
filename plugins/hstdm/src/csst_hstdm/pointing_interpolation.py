"""Directions between samples, along splines of unit vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline


def interpolate_directions(
    time_s: NDArray[np.float64],
    sample_s: NDArray[np.float64],
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    *,
    gap_s: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return directions at times between samples.

    Unit vectors have no pole and no step at 0 h. The splines are cubic, of lower degree through
    fewer than four samples.

    Parameters
    ----------
    time_s
        Times asked for.
    sample_s
        Times of the samples, ascending, at least two.
    ra_deg, dec_deg
        Directions of the samples.
    gap_s
        Samples further apart are not joined.

    Returns
    -------
    ra_deg, dec_deg
        Right ascension from 0 to 360; NaN outside the samples and in gaps.
    """
    spline = make_interp_spline(
        sample_s, unit_vectors(ra_deg, dec_deg), k=min(3, len(sample_s) - 1)
    )
    after = np.clip(np.searchsorted(sample_s, time_s), 1, len(sample_s) - 1)
    inside = (time_s >= sample_s[0]) & (time_s <= sample_s[-1])
    inside &= np.diff(sample_s)[after - 1] <= gap_s
    vector = spline(np.where(inside, time_s, sample_s[0]))
    ra = np.degrees(np.arctan2(vector[:, 1], vector[:, 0])) % 360
    dec = np.degrees(np.arctan2(vector[:, 2], np.hypot(vector[:, 0], vector[:, 1])))
    return np.where(inside, ra, np.nan), np.where(inside, dec, np.nan)


def unit_vectors(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return directions as vectors of length 1, shape (directions, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
