"""Quality numbers of raw frames and of the frames of a series."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csstcore.api import Image, NotApplicable, Table

SAMPLED_STEP = 5


def raw_level(image: Image) -> float:
    """Median of a raw frame, from every fifth row.

    Parameters
    ----------
    image
        Level 0 frame.
    """
    return float(np.median(image.data[::SAMPLED_STEP]))


def bias_range(summary: Table) -> float:
    """Range of the bias level over the frames in adu.

    Parameters
    ----------
    summary
        Of `compare_frames`.
    """
    return float(np.ptp(summary.table["bias_level"].to_value(u.adu)))


def largest_bias_noise(summary: Table) -> float:
    """Largest noise of a prescan in adu.

    Parameters
    ----------
    summary
        Of `compare_frames`.
    """
    return float(np.max(summary.table["bias_noise"].to_value(u.adu)))


def median_pull(summary: Table) -> float:
    """Median over the frames of the scatter between neighbours over its error.

    Parameters
    ----------
    summary
        Of `compare_frames`.
    """
    pulls = np.asarray(summary.table["pull"], np.float64)
    if not np.isfinite(pulls).any():
        raise NotApplicable("a single frame has no neighbour")
    return float(np.nanmedian(pulls))
