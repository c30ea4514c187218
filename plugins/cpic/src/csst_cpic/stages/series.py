"""Whether frames belong together, before anything is done with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeAlias

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_cpic.camera.agreement import exposure_time_second, require_shape
from csst_cpic.camera.lost_pixels import EQUAL, lost_pixels
from csst_cpic.detector import Detector
from csstcore.api import Image, Reference, UnprocessableData, caveat, each, metric, replace

Loss: TypeAlias = NDArray[np.bool_] | None

TOLD_APART = 3
"""Frames from which an outlier in one of them stands out."""

MOST_LOST = 0.5
"""Fraction of lost pixels from which a frame is left out."""


def check_series(
    frames: Sequence[Image], detector: Reference[Detector]
) -> Annotated[Sequence[Image | None], "frames"]:
    """Check that frames are one series, and leave out those that hold nothing.

    What was lost on the way is filled with one value, by the recorder or the archive. Frames of
    which most is lost are left out, as are those beyond the converter's limit throughout; lost
    pixels of others (`csst_cpic.camera.lost_pixels`) are flagged ``bad``. Each has a caveat. So is
    told if there was time for more frames between start and end of a file than it holds.

    Parameters
    ----------
    frames
        Raw frames of one observation.
    detector
        Geometry, and the time between frames.

    Returns
    -------
    frames
        The same, with start and end of each exposure; None for frames left out. Metrics:
        ``frames``, ``frames_left_out`` and ``lost_pixels``, those of the frames that are kept.

    Raises
    ------
    UnprocessableData
        If frames differ in shape, EM gain, exposure time, filter, roll or detector or are not of
        the detector's shape, or all hold nothing.
    """
    _require_one("shapes (rows, columns)", [frame.shape for frame in frames])
    for name, what in _FACTS.items():
        _require_one(what, [_plain(getattr(frame.meta, name)) for frame in frames])
    require_shape(frames[0], detector.raw_shape, "the raw frame of the detector")
    _count_frames(frames, detector)
    limit = detector.converter_limit_adu
    losses = each(lambda frame: lost_pixels(frame.data, limit), frames)
    kept = [
        None if _mostly_lost(number, frame, lost) else _with_time(_flagged(frame, lost), detector)
        for number, (frame, lost) in enumerate(zip(frames, losses, strict=True))
    ]
    metric(
        "lost_pixels", sum(_count(lost) for lost, frame in zip(losses, kept, strict=True) if frame)
    )
    left = sum(frame is not None for frame in kept)
    metric("frames", left)
    metric("frames_left_out", len(kept) - left)
    if not left:
        raise UnprocessableData(f"no frame of {len(kept)} holds anything: {_cause(frames)}")
    if left < TOLD_APART:
        caveat(f"{left} of {TOLD_APART} frames wanted to tell cosmic rays from light")
    return kept


_FACTS = {
    "em_gain": "EM gains",
    "exposure_time": "exposure times",
    "filter": "filters",
    "position_angle": "position angles",
    "detector": "detectors",
    "obs_id": "observations",
}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _require_one(what: str, values: Iterable[Any]) -> None:
    found = list(dict.fromkeys(values))
    if len(found) > 1:
        raise UnprocessableData(
            f"the frames have {len(found)} different {what}: "
            f"{', '.join(str(value) for value in found[:4])}; expected one series"
        )


def _count_frames(frames: Sequence[Image], detector: Detector) -> None:
    """Say if a file holds another number of frames than there was time for."""
    files: dict[tuple[str, float], list[Image]] = {}
    for frame in frames:
        start, end = frame.meta.time, frame.meta.end_time
        if start is not None and end is not None:
            seconds = float((end - start).to_value(u.s))
            files.setdefault((str(start), seconds), []).append(frame)
    for (_, seconds), members in files.items():
        cadence_s = exposure_time_second(members[0]) + detector.frame_transfer_s
        expected = round(seconds / cadence_s) if cadence_s > 0 else len(members)
        if expected != len(members):
            uncertain_s = abs(expected - len(members)) * cadence_s
            caveat(
                f"the file holds {len(members)} frames; from start to end ({seconds:g} s) there "
                f"was time for {expected}: times of frames are uncertain by {uncertain_s:g} s"
            )


def _mostly_lost(number: int, frame: Image, lost: Loss) -> bool:
    """Say if a frame is to be left out; caveats for what of it is lost."""
    if frame.data.min() == frame.data.max():
        caveat(f"frame {number} is left out: {_filling(frame)}")
        return True
    if lost is None:
        return False
    rows = int(np.count_nonzero(lost.sum(axis=1) >= EQUAL))
    told = (
        f"{_count(lost)} pixels in {rows} of {len(lost)} rows hold a value that noise cannot give"
    )
    mostly = _count(lost) > MOST_LOST * lost.size
    if mostly:
        caveat(f"frame {number} is left out: {told}")
    elif rows:
        caveat(f"frame {number}: {told}; they are flagged as bad")
    return mostly


def _count(lost: Loss) -> int:
    return 0 if lost is None else int(np.count_nonzero(lost))


def _flagged(frame: Image, lost: Loss) -> Image:
    """Return a frame whose lost pixels are flagged."""
    if lost is None:
        return frame
    flags = np.zeros(frame.shape, np.uint16) if frame.flags is None else frame.flags.copy()
    result = replace(frame, flags=flags)
    result.set_flag("bad", lost)
    return result


def _with_time(frame: Image, detector: Detector) -> Image:
    """Return a frame with the start and end of its own exposure."""
    meta = frame.meta
    if meta.time is None or meta.frame is None:
        return frame
    seconds = exposure_time_second(frame)
    start = meta.time + meta.frame * (seconds + detector.frame_transfer_s) * u.s
    return replace(frame, meta=replace(meta, time=start, end_time=start + seconds * u.s))


def _filling(frame: Image) -> str:
    return f"all its pixels are {frame.data.flat[0]:g}, so it is missing or beyond the converter"


def _cause(frames: Sequence[Image]) -> str:
    values = dict.fromkeys(f"{frame.data.flat[0]:g}" for frame in frames)
    return f"all pixels are {' or '.join(list(values)[:4])}"
