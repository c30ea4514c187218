"""The relation of a filter to Gaia's photometry, from a standard field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_imaging.flux.calibrators import Calibrators, find_calibrators
from csst_imaging.flux.colour_terms import TERMS, ColourTerms
from csst_imaging.flux.passbands import Passbands
from csst_imaging.flux.reference_photometry import ReferencePhotometry
from csst_imaging.flux.scatter_fit import ScatterFit, fit_with_scatter
from csstcore.api import Meta, Reference, Table, UnprocessableData, caveat, metric

FEWEST_STARS = 20
STARS_PER_TERM = 10
LARGEST_COLOUR_ERROR_MAG = 0.1
"""Of stars whose colour is good enough."""
EDGE_PERCENT = 1.0
"""Percentile of the stars' colours where the relation ends, on both sides."""
PASSES = 4


@dataclass(frozen=True)
class Sample:
    """Stars of all catalogues."""

    pairs: tuple[Calibrators, ...]
    """Of every catalogue, the clean ones with good photometry."""
    zero_point_mag: float

    def __len__(self) -> int:
        return sum(len(each) for each in self.pairs)

    def photometry(self, reddening: float, spread: float) -> ReferencePhotometry:
        """Return photometry as it most likely is: every field is a population of its own."""
        seen = [each.reference.without_noise(reddening, spread) for each in self.pairs]
        names = ("g", "g_error", "bp_rp", "bp_rp_error", "reddening", "reddening_error")
        return ReferencePhotometry(
            *(np.concatenate([getattr(each, name) for each in seen]) for name in names)
        )

    def measured(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return magnitudes at the nominal zero point, and their variances."""
        magnitude = np.concatenate([each.instrumental_mag for each in self.pairs])
        error = np.concatenate([each.instrumental_error_mag for each in self.pairs])
        return magnitude + self.zero_point_mag, error**2


def measure_colour_terms(
    catalogs: Sequence[Table],
    stars: Reference[Table],
    passbands: Reference[Passbands],
    *,
    order: Annotated[int, Field(ge=1, le=3)] = 3,
    radius_arcsec: Annotated[float, Field(gt=0, le=5)] = 0.5,
) -> Annotated[Table, "colour_terms"]:
    """Measure how magnitudes in a filter follow from Gaia's photometry.

    Exposures of standard fields define the magnitudes of a filter: their zero point is the
    nominal one. Magnitude minus G of their stars is fitted by a polynomial in BP - RP and a
    term in E(B-V), robustly and with the scatter of single stars. That fields differ by more
    than their errors is in the error of the relation. Metrics: ``colour_term_stars``,
    ``colour_term_scatter``, ``colour_term_error`` (of the relation at the mean of the stars),
    ``combined_frames``.

    Parameters
    ----------
    catalogs
        Level 1 catalogues of one filter of one instrument.
    stars
        Reference stars of these fields.
    passbands
        Gives the nominal zero point.
    order
        Highest order in colour; less with fewer than ten stars for each term.
    radius_arcsec
        Largest distance of a source from its reference star.

    Returns
    -------
    Table
        One row, see definition ``imaging.colour_terms``. Without reddenings of the stars, that
        term is zero.

    Raises
    ------
    UnprocessableData
        The catalogues are not of one known filter, or fewer than twenty stars are fit.
    """
    meta = common_filter(catalogs)
    if meta.filter not in passbands.filters:
        known = ", ".join(passbands.filters)
        raise UnprocessableData(f"no passband of filter {meta.filter}; there are {known}")
    nominal = passbands.filters[meta.filter].zero_point_mag
    sample = select(catalogs, stars, radius_arcsec, nominal)
    if len(sample) < FEWEST_STARS:
        raise UnprocessableData(
            f"{len(sample)} stars are fit for colour terms; expected at least {FEWEST_STARS}"
        )
    terms = fit_terms(sample, order)
    metric("combined_frames", len(catalogs))
    metric("colour_term_stars", terms.stars)
    metric("colour_term_scatter", terms.scatter)
    metric("colour_term_error", float(np.sqrt(terms.covariance[0, 0])))
    return Table(terms.to_table(), meta=meta)


def common_filter(catalogs: Sequence[Table]) -> Meta:
    """Return what the catalogues have in common; refuse those of several filters."""
    filters = {str(each.meta.filter) for each in catalogs}
    instruments = {str(each.meta.instrument) for each in catalogs}
    if len(filters) != 1 or len(instruments) != 1 or catalogs[0].meta.filter is None:
        raise UnprocessableData(
            f"the catalogues are of filters {', '.join(sorted(filters))} of instruments "
            f"{', '.join(sorted(instruments))}; expected one filter of one instrument"
        )
    first = catalogs[0].meta
    return Meta(
        telescope=first.telescope,
        instrument=first.instrument,
        filter=first.filter,
        time=first.time,
    )


def select(
    catalogs: Sequence[Table], stars: Table, radius_arcsec: float, zero_point_mag: float
) -> Sample:
    """Return the clean stars with good photometry; leave out catalogues that have none."""
    chosen = []
    for number, catalog in enumerate(catalogs, 1):
        try:
            pairs = find_calibrators(catalog, stars, radius_arcsec)
        except UnprocessableData as why:
            caveat(f"catalogue {number} of {len(catalogs)} is left out: {why}")
            continue
        seen = pairs.reference
        good = pairs.clean & np.isfinite(seen.g + seen.bp_rp + pairs.instrumental_error_mag)
        good &= seen.bp_rp_error <= LARGEST_COLOUR_ERROR_MAG
        chosen.append(pairs[good])
    return Sample(tuple(chosen), zero_point_mag)


def fit_terms(sample: Sample, order: int) -> ColourTerms:
    """Fit the relation; its slope in colour weighs the errors of the colours, in passes."""
    reddening = np.concatenate([each.reference.reddening for each in sample.pairs])
    known = np.isfinite(reddening)
    typical = float(np.median(reddening[known])) if known.any() else 0.0
    spread = float(np.std(reddening[known])) if known.any() else 0.0
    seen = sample.photometry(typical, spread)
    measured, measured_variance = sample.measured()
    low, high = np.percentile(seen.bp_rp, [EDGE_PERCENT, 100.0 - EDGE_PERCENT])
    terms = ColourTerms(
        np.zeros(TERMS),
        np.zeros((TERMS, TERMS)),
        0.0,
        float(np.median(seen.bp_rp)),
        typical,
        spread,
        (float(low), float(high)),
        (float(seen.g.min()), float(seen.g.max())),
        len(seen),
    )
    wanted = list(range(min(order, len(seen) // STARS_PER_TERM - 1) + 1))
    if known.all() and spread > 0:
        wanted.append(TERMS - 1)
    usable = np.ones(len(seen), np.bool_)
    for _ in range(PASSES):
        basis = terms.basis(seen.bp_rp, seen.reddening)[:, wanted]
        variance = measured_variance + terms.variance(seen)
        fit = fit_with_scatter(basis[usable], (measured - seen.g)[usable], variance[usable])
        terms = filled(terms, fit, wanted)
        shared = field_variance(sample, usable, basis @ terms.coefficients[wanted], seen, fit)
        terms.covariance[0, 0] += shared
        expected = seen.g + terms.basis(seen.bp_rp, seen.reddening) @ terms.coefficients
        usable = bright_enough(sample, expected)
        if np.count_nonzero(usable) < FEWEST_STARS:
            raise UnprocessableData(
                f"{np.count_nonzero(usable)} stars are bright enough for colour terms; "
                f"expected at least {FEWEST_STARS}"
            )
    return terms


def field_variance(
    sample: Sample,
    usable: NDArray[np.bool_],
    relation: NDArray[np.float64],
    seen: ReferencePhotometry,
    fit: ScatterFit,
) -> float:
    """Return the variance of the mean that fields differing as a whole add.

    What all stars of a frame share (the correction of its apertures to total fluxes) makes the
    fields' mean residuals differ by more than their errors (DerSimonian & Laird 1986, Controlled
    Clinical Trials 7, 177).
    """
    residual = sample.measured()[0] - seen.g - relation
    weight = np.zeros(len(sample))
    weight[usable] = fit.weight
    ends = np.cumsum([len(each) for each in sample.pairs])[:-1]
    parts = zip(np.split(weight, ends), np.split(residual, ends), strict=True)
    sums = [(w.sum(), (w * r).sum()) for w, r in parts if w.sum() > 0]
    if len(sums) < 2:
        return 0.0
    total = np.array([w for w, _ in sums])
    mean = np.array([r for _, r in sums]) / total
    centre = np.average(mean, weights=total)
    excess = np.sum(total * (mean - centre) ** 2) - (len(total) - 1)
    between = max(excess / (total.sum() - np.sum(total**2) / total.sum()), 0.0)
    return float(between * np.sum(total**2) / total.sum() ** 2)


def bright_enough(sample: Sample, expected: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which stars have enough signal to noise at the magnitudes expected of them."""
    ends = np.cumsum([len(each) for each in sample.pairs])[:-1]
    parts = np.split(expected - sample.zero_point_mag, ends)
    return np.concatenate(
        [each.bright_enough(part) for each, part in zip(sample.pairs, parts, strict=True)]
    )


def filled(terms: ColourTerms, fit: ScatterFit, wanted: list[int]) -> ColourTerms:
    """Return terms with the fitted coefficients; the others are zero."""
    coefficients, covariance = np.zeros(TERMS), np.zeros((TERMS, TERMS))
    coefficients[wanted] = fit.coefficients
    covariance[np.ix_(wanted, wanted)] = fit.covariance
    return ColourTerms(
        coefficients,
        covariance,
        fit.scatter,
        terms.pivot_mag,
        terms.reddening_mag,
        terms.reddening_spread_mag,
        terms.colour_range,
        terms.g_range,
        int(np.count_nonzero(fit.used)),
    )
