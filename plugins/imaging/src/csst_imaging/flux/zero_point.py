"""The zero point of an exposure from stars of known magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_imaging.flux.calibrators import Calibrators
from csst_imaging.flux.colour_terms import ColourTerms
from csst_imaging.flux.reference_magnitudes import ReferenceMagnitudes
from csst_imaging.flux.scatter_fit import fit_with_scatter
from csstcore.api import UnprocessableData

Floats = NDArray[np.float64]

FEWEST_STARS = 3
FEW_STARS = 8
"""With fewer, the scatter is taken from the colour terms, and may not be found smaller."""

UNKNOWN_SCATTER_MAG = 0.02


@dataclass(frozen=True)
class ZeroPoint:
    """AB magnitude of a source that gives one unit of flux."""

    magnitude: float
    error: float
    rms: float
    """Of the stars that were used."""
    scatter: float
    """Part of the scatter that the errors do not explain."""
    residual: Floats
    """Magnitude measured with this zero point minus reference magnitude, of the calibrators;
    NaN where there is no magnitude."""
    used: NDArray[np.bool_]
    rejected: int


def measure_zero_point(
    pairs: Calibrators, known: ReferenceMagnitudes, terms: ColourTerms | None
) -> ZeroPoint:
    """Fit a zero point to stars, robustly and with an intrinsic scatter.

    Parameters
    ----------
    pairs
        Sources with reference stars.
    known
        The magnitudes of these stars.
    terms
        The relation that gave them, for its error and its scatter.

    Raises
    ------
    UnprocessableData
        Fewer than three stars are left.
    """
    offset = known.magnitude - pairs.instrumental_mag
    good = pairs.clean & known.known & np.isfinite(offset + pairs.instrumental_error_mag)
    first = float(np.median(offset[good])) if good.any() else float("nan")
    bright = pairs.bright_enough(known.magnitude - first)
    chosen = np.flatnonzero(good & bright)
    if len(chosen) < FEWEST_STARS:
        raise UnprocessableData(too_few(pairs, known, good, chosen.size))
    variance = known.variance + pairs.instrumental_error_mag**2
    least = 0.0
    if len(chosen) < FEW_STARS:
        least = UNKNOWN_SCATTER_MAG if terms is None else terms.scatter
    fit = fit_with_scatter(
        np.ones((len(chosen), 1)), offset[chosen], variance[chosen], least_scatter=least
    )
    used = np.zeros(len(pairs), np.bool_)
    used[chosen[fit.used]] = True
    magnitude = float(fit.coefficients[0])
    error = np.sqrt(fit.covariance[0, 0])
    by_terms = ~known.from_spectrum[chosen]
    if terms is not None and by_terms.any():
        part = fit.weight[by_terms].sum() / fit.weight.sum()
        stars = pairs.reference[chosen[by_terms]]
        shared = terms.relation_error(stars, fit.weight[by_terms] + 1e-12)
        error = np.hypot(error, part * shared)
    residual = magnitude - offset
    return ZeroPoint(
        magnitude=magnitude,
        error=float(error),
        rms=float(np.sqrt(np.mean(residual[used] ** 2))),
        scatter=fit.scatter,
        residual=residual,
        used=used,
        rejected=int(np.count_nonzero(~fit.used)),
    )


def too_few(
    pairs: Calibrators, known: ReferenceMagnitudes, good: NDArray[np.bool_], left: int
) -> str:
    """Say what became of the stars."""
    lost = [f"{number} {why}" for why, number in pairs.why_not.items() if number]
    unknown = int(np.count_nonzero(pairs.clean & ~known.known))
    if unknown:
        lost.append(f"{unknown} without a colour or magnitude in the range of the colour terms")
    faint = int(np.count_nonzero(good)) - left
    if faint:
        lost.append(f"{faint} too faint")
    why = f" ({', '.join(lost)})" if lost else ""
    return (
        f"{left} of {len(pairs)} matched stars are fit for a zero point; "
        f"expected at least {FEWEST_STARS}{why}"
    )
