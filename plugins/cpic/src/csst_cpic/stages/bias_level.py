"""Subtraction of the bias level of every row, and the data section."""

from __future__ import annotations

from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_cpic.camera.agreement import require_shape, require_unit
from csst_cpic.camera.bias_level import RowLevels, measure_rows
from csst_cpic.detector import Detector
from csstcore.api import Image, Reference, Table, UnprocessableData, caveat, metric, replace

MOST_DISTURBED = 0.5
"""Fraction of the rows without a prescan of their own from which a frame has a caveat."""


def subtract_bias_level(
    image: Image,
    detector: Reference[Detector],
) -> tuple[Annotated[Image, "image"], Annotated[Table, "bias_level"]]:
    """Subtract the bias level of every row and keep the data section.

    The level comes from the prescan (`csst_cpic.camera.bias_level.measure_rows`), without rows into
    which the trail of a cosmic ray runs, nor rows that are lost, in whole or in part: their level
    is that between their neighbours. Structure along columns is in the master bias.

    Parameters
    ----------
    image
        Raw frame in adu, any integer or float type, shape ``detector.raw_shape``; pixels flagged
        ``bad`` were lost on the way.
    detector
        Geometry of the frame.

    Returns
    -------
    image
        Data section in adu, float32, shape ``detector.shape``, with flags and world coordinates
        of the raw frame; NaN where lost.
    bias_level
        One row: ``frame``, ``level``, ``noise`` (of a pixel) and ``drift`` (scatter of the level
        over the rows) in adu, ``disturbed_rows``. Metrics: ``bias_level``, ``bias_noise``.

    Raises
    ------
    UnprocessableData
        If the frame has another shape or unit, or every row of the prescan is disturbed.
    """
    require_unit(image, u.adu)
    require_shape(image, detector.raw_shape, "the raw frame of the detector")
    lost = image.flagged("bad")
    outside = np.hstack((lost[detector.prescan], lost[detector.overscan]))
    whole = np.asarray(~outside.any(axis=1))
    prescan, overscan = (
        np.asarray(image.data[region][whole], np.float32)
        for region in (detector.prescan, detector.overscan)
    )
    try:
        rows = _with_lost(measure_rows(prescan, overscan), whole)
    except ValueError as why:
        raise UnprocessableData(str(why)) from None
    level, disturbed = float(np.mean(rows.level)), int(rows.disturbed.sum())
    if disturbed > MOST_DISTURBED * len(rows.level):
        caveat(f"{disturbed} of {len(rows.level)} rows have a disturbed prescan")
    metric("bias_level", level)
    metric("bias_noise", rows.noise)
    own = rows.level[detector.active[0], None].astype(np.float32)
    data = np.subtract(image.data[detector.active], own, dtype=np.float32)
    data[lost[detector.active]] = np.nan
    flags = None if image.flags is None else image.flags[detector.active].copy()
    table = QTable(
        {
            "frame": [0 if image.meta.frame is None else image.meta.frame],
            "level": [level] * u.adu,
            "noise": [rows.noise] * u.adu,
            "drift": [float(np.std(rows.level))] * u.adu,
            "disturbed_rows": [disturbed],
        }
    )
    wcs = None if image.wcs is None else image.wcs[detector.active]
    return replace(image, data=data, flags=flags, wcs=wcs), Table(table, meta=image.meta)


def _with_lost(rows: RowLevels, whole: NDArray[np.bool_]) -> RowLevels:
    """Return the levels of all rows from those of the rows that are whole."""
    disturbed = np.ones(whole.shape, np.bool_)
    disturbed[whole] = rows.disturbed
    level = np.interp(np.arange(len(whole)), np.flatnonzero(whole), rows.level)
    return RowLevels(level, rows.noise, disturbed)
