"""Noise that dumps share because the same OFFs were subtracted from them."""

from __future__ import annotations

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix

from csst_hstdm.common_axis import dump_weights
from csst_hstdm.dump_rows import numbers, rows_of
from csst_hstdm.weighted_sums import Contributions
from csstcore.api import Spectra

_COLUMNS = ("off_before", "off_after", "off_weight", "off_fraction")
_SHIFTS = 1 << 20


def shared_off_factor(
    series: Sequence[Spectra],
    parts: Sequence[Contributions],
    weights: Sequence[NDArray[np.float64]],
    pixels: int,
) -> NDArray[np.float64]:
    """Return by how much the variances of means exceed those of dumps with OFFs of their own.

    Each dump is ``ON - (1 - u) OFF_before - u OFF_after``. In a mean with the weights ``k w`` the
    noise of an OFF counts with the sum of its weights, not with the root of their squares:
    ``sum_i (k w)^2 (1 - f) sigma^2 + sum_j (sum_i k w a_ij)^2 v_j``, with the part f of the
    variance that comes from OFFs, the share ``a_ij`` of OFF j in dump i and its variance
    ``v_j``. Dumps that were shifted to other channels do not share the noise of an OFF, as its
    channels differ: OFFs count apart for each whole channel of shift. One factor for all channels.

    Parameters
    ----------
    series
        Dumps whose rows tell their OFFs (`calibrate`); without, the factor is 1.
    parts, weights
        What they contribute to, and their weights.
    pixels
        Number of means.
    """
    told = [all(name in rows_of(dumps).colnames for name in _COLUMNS) for dumps in series]
    if not all(told) or not sum(len(part.rows) for part in parts):
        return np.ones(pixels)
    off, weight, inverse, share, fraction = [], [], [], [], []
    pixel, dump, kernel = [], [], []
    count = 0
    for dumps, part, of_part in zip(series, parts, weights, strict=True):
        rows = rows_of(dumps)[part.rows]
        shift = _shift_channels(dumps)[part.rows]
        pair = [np.asarray(rows[name], np.int64) * _SHIFTS + shift for name in _COLUMNS[:2]]
        off.append(np.stack(pair, axis=1))
        share.append(_finite(numbers(rows, "off_weight", u.dimensionless_unscaled)))
        fraction.append(_finite(numbers(rows, "off_fraction", u.dimensionless_unscaled)))
        weight.append(of_part)
        inverse.append(dump_weights(dumps, part.rows))
        dump.append(count + np.repeat(np.arange(len(part.rows)), np.diff(part.first)))
        pixel.append(part.pixel)
        kernel.append(part.kernel.astype(float))
        count += len(part.rows)
    p, d, k = np.concatenate(pixel), np.concatenate(dump), np.concatenate(kernel)
    w, f = np.concatenate(weight), np.concatenate(fraction)
    variance = np.concatenate(inverse)
    variance = np.where(variance > 0, 1 / np.where(variance > 0, variance, 1.0), 0.0)
    after = np.concatenate(share)
    shares = np.stack([1 - after, after], axis=1)
    names, index = np.unique(np.concatenate(off), return_inverse=True)
    index = index.reshape(-1, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = f * variance / np.sum(shares**2, axis=1)
        used = np.bincount(index.ravel(), np.repeat(w > 0, 2), len(names))
        each = np.bincount(index.ravel(), np.repeat(own, 2), len(names)) / used
        places = (np.tile(p, 2), np.concatenate([index[d, 0], index[d, 1]]))
        sums = np.concatenate([k * w[d] * shares[d, 0], k * w[d] * shares[d, 1]])
        matrix = coo_matrix((sums, places), shape=(pixels, len(names))).tocsr()
        shared = matrix.power(2) @ _finite(each)
        single = np.bincount(p, k**2 * (w**2 * variance)[d], pixels)
        alone = np.bincount(p, k**2 * (w**2 * variance * (1 - f))[d], pixels)
        return np.where(single > 0, (alone + shared) / single, 1.0)


def _shift_channels(dumps: Spectra) -> NDArray[np.int64]:
    """Return by how many channels each dump was shifted to the local standard of rest."""
    rows = rows_of(dumps)
    if "velocity_shift" not in rows.colnames:
        return np.zeros(len(rows), np.int64)
    axis_hz = dumps.axis.to_value(u.Hz)
    velocity = _finite(numbers(rows, "velocity_shift", u.km / u.s)) / 299792.458
    shift = np.round(velocity * np.mean(axis_hz) / (axis_hz[1] - axis_hz[0]))
    return np.asarray(np.clip(shift, -_SHIFTS // 2, _SHIFTS // 2 - 1), np.int64)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
