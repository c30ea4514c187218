"""Correction of what charge leaves behind in transfers."""

from __future__ import annotations

import numpy as np

from csst_cpic.camera.agreement import require_shape
from csst_cpic.camera.transfer import remove_trails, transfers_of
from csst_cpic.detector import Detector
from csstcore.api import (
    Image,
    InPlace,
    NotApplicable,
    Reference,
    Table,
    caveat,
    each,
    metric,
    pieces,
)


def correct_cte(
    image: InPlace[Image], detector: Reference[Detector], cti: Reference[Table] | None = None
) -> Image:
    """Put charge that transfers left behind back into the pixels it came from.

    Columns are moved first and rows then, so trails along rows are removed first. The model,
    linear in the charge, is that of `csst_cpic.camera.transfer`: the signal may be in any unit and
    hold any noise. The variance is left as it is: its change is that of the charge, below 1 %.

    Pixels flagged ``saturated`` stay as they are and leave no trail: how much charge they moved
    is not known, and where the register spilled it was none.

    Parameters
    ----------
    image
        Bias-subtracted and linear image of the active area, changed in place.
    detector
        Geometry: how many empty packets were read before the active area.
    cti
        One row: ``vertical_inefficiency``, ``vertical_release`` (pixel) and the same of
        ``horizontal_``.

    Returns
    -------
    image
        Metrics: ``cte_vertical`` and ``cte_horizontal``, the part of a packet that one transfer
        moves.

    Raises
    ------
    NotApplicable
        If there is no reference, with a caveat.
    UnprocessableData
        If the image has another shape, or the reference is not usable.
    """
    if cti is None:
        caveat("charge left behind in transfers is not corrected: there is no reference")
        raise NotApplicable("there is no charge-transfer reference")
    require_shape(image, detector.shape, "the active area of the detector")
    transfers = transfers_of(cti)
    saturated = image.flagged("saturated")
    full = image.data[saturated]
    image.data[saturated] = np.nan

    def along_rows(rows: slice) -> None:
        packets = np.ascontiguousarray(image.data[rows].T)
        remove_trails(packets, transfers["horizontal"], detector.prescan_columns)
        image.data[rows] = packets.T

    def along_columns(columns: slice) -> None:
        packets = np.ascontiguousarray(image.data[:, columns])
        remove_trails(packets, transfers["vertical"], detector.dark_rows)
        image.data[:, columns] = packets

    each(along_rows, pieces(image.shape[0]))
    each(along_columns, pieces(image.shape[1]))
    image.data[saturated] = full
    for name, transfer in transfers.items():
        metric(f"cte_{name}", 1 - transfer.inefficiency)
    return image
