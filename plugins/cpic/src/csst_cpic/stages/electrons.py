"""Conversion of counts to electrons at the input of the register."""

from __future__ import annotations

import astropy.units as u
import numpy as np

from csst_cpic.camera.agreement import (
    em_gain_of,
    gain_electron_per_adu,
    read_noise_electron,
    require_unit,
)
from csst_cpic.detector import Detector
from csstcore.api import (
    Image,
    InPlace,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    metric,
    replace,
)

NEAREST = 0.05
"""Relative distance to a measured gain up to which the curve is followed beyond its ends."""


def to_electrons(
    image: InPlace[Image], detector: Reference[Detector], em_gain: Reference[Table] | None = None
) -> Image:
    """Convert an image from adu to electrons before multiplication.

    The signal is ``adu k / G`` with the gain k of the amplifier and the EM gain G, as measured
    for the commanded one: linear in the logarithms between measured gains. Output electrons are
    ``image * image.meta.em_gain``.

    Parameters
    ----------
    image
        Bias-subtracted and linear image in adu, changed in place; its variance is scaled too.
    detector
        Gain and read noise, where the frame does not give its own.
    em_gain
        Columns ``commanded_em_gain`` and ``em_gain``. Without it the commanded gain is taken,
        with a caveat.

    Returns
    -------
    image
        In electron; its meta has the gains and the read noise that were used. Metric:
        ``em_gain``.

    Raises
    ------
    UnprocessableData
        If the image is not in adu or has no EM gain, or the EM gain lies outside those measured.
    """
    require_unit(image, u.adu)
    commanded = em_gain_of(image)
    gain = gain_electron_per_adu(image, detector)
    noise = read_noise_electron(image, detector)
    measured = commanded
    if em_gain is not None:
        measured = measured_em_gain(em_gain, commanded)
    elif commanded > 1:
        caveat("there is no reference of EM gains: the commanded one is taken")
    factor = np.float32(gain / measured)
    image.data *= factor
    if image.variance is not None:
        image.variance *= factor**2
    metric("em_gain", measured)
    meta = replace(
        image.meta,
        em_gain=measured * u.dimensionless_unscaled,
        gain=gain * u.electron / u.adu,
        read_noise=noise * u.electron,
    )
    return replace(image, unit=u.electron, meta=meta)


def measured_em_gain(em_gain: Table, commanded: float) -> float:
    """Return the EM gain that was measured for a commanded one.

    Raises
    ------
    UnprocessableData
        If the table is empty or holds a number below 1, or the commanded gain lies more than
        5 % outside the commanded ones of the table.
    """
    if commanded == 1:
        return 1.0
    known, found = (
        np.asarray(em_gain.table[name], np.float64) for name in ("commanded_em_gain", "em_gain")
    )
    if not len(known) or not np.all(np.isfinite(known) & (known >= 1)):
        raise UnprocessableData(
            f"the reference of EM gains has commanded ones {known.tolist()}; expected 1 or more"
        )
    if not np.all(np.isfinite(found) & (found >= 1)):
        raise UnprocessableData(
            f"the reference of EM gains has {found.tolist()}; expected 1 or more"
        )
    if not known.min() / (1 + NEAREST) <= commanded <= known.max() * (1 + NEAREST):
        raise UnprocessableData(
            f"the EM gain {commanded:g} lies outside those measured, {known.min():g} to "
            f"{known.max():g}"
        )
    order = np.argsort(known)
    ratio = np.log(found[order] / known[order])
    return float(commanded * np.exp(np.interp(np.log(commanded), np.log(known[order]), ratio)))
