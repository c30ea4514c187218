"""Whether frames can be combined to one reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from csst_cpic.agreement import em_gain_of
from csstcore.api import Image, UnprocessableData

SAME = {
    "exposure_time": "exposure times",
    "filter": "filters",
    "detector": "detectors",
    "readout": "formats",
}


def check_set(frames: Sequence[Image]) -> Annotated[Sequence[Image], "frames"]:
    """Check that frames were taken with one EM gain and one exposure time.

    Parameters
    ----------
    frames
        Raw frames of one or several observations.

    Returns
    -------
    frames
        The same.

    Raises
    ------
    UnprocessableData
        If frames differ in EM gain, exposure time, filter, detector, format or shape.
    """
    _require_one("EM gains", [f"{em_gain_of(frame):g}" for frame in frames])
    _require_one("shapes (rows, columns)", [frame.shape for frame in frames])
    for name, what in SAME.items():
        _require_one(what, [str(getattr(frame.meta, name)) for frame in frames])
    return frames


def _require_one(what: str, values: Sequence[Any]) -> None:
    found = list(dict.fromkeys(values))
    if len(found) > 1:
        raise UnprocessableData(
            f"the frames have the {what} {', '.join(str(value) for value in found[:5])}; expected "
            "one for all that become one reference"
        )
