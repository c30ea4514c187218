"""Whether frames can become one reference, and which of them hold nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from csst_cpic.camera.agreement import em_gain_of
from csstcore.api import Image, UnprocessableData, caveat, metric

SAME = {"filter": "filters", "detector": "detectors", "readout": "formats"}


def check_set(
    frames: Sequence[Image], *, several_settings: bool = False
) -> Annotated[Sequence[Image | None], "frames"]:
    """Check that frames make one calibration set, and leave out those that hold nothing.

    A frame that was lost on the way is filled with one value; so is one beyond the converter's
    limit throughout. It would count as a frame without a photon.

    Parameters
    ----------
    frames
        Raw frames of one or several observations.
    several_settings
        Whether EM gains and exposure times may differ.

    Returns
    -------
    frames
        The same; None for frames left out, with a caveat. Metric: ``frames_left_out``.

    Raises
    ------
    UnprocessableData
        If frames differ in shape, filter, detector or format, or in EM gain or exposure time
        where these may not; if all hold nothing.
    """
    _require_one("shapes (rows, columns)", [frame.shape for frame in frames])
    for name, what in SAME.items():
        _require_one(what, [str(getattr(frame.meta, name)) for frame in frames])
    if not several_settings:
        _require_one("EM gains", [f"{em_gain_of(frame):g}" for frame in frames])
        _require_one("exposure times", [str(frame.meta.exposure_time) for frame in frames])
    kept = [None if frame.data.min() == frame.data.max() else frame for frame in frames]
    lost = [number for number, frame in enumerate(kept) if frame is None]
    metric("frames_left_out", len(lost))
    if len(lost) == len(frames):
        raise UnprocessableData(f"all pixels of each of {len(frames)} frames have one value")
    if lost:
        places = ", ".join(
            f"{frames[k].meta.obs_id} frame {frames[k].meta.frame}" for k in lost[:5]
        )
        caveat(f"{len(lost)} frames whose pixels all have one value are left out: {places}")
    return kept


def _require_one(what: str, values: Sequence[Any]) -> None:
    found = list(dict.fromkeys(values))
    if len(found) > 1:
        raise UnprocessableData(
            f"the frames have the {what} {', '.join(str(value) for value in found[:5])}; expected "
            "one for all that become one reference"
        )
