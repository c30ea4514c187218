"""`note_frames`: what a reference was made of, for its header."""

from __future__ import annotations

from collections.abc import Sequence

from csstcore.api import Image, metric


def note_frames(*series: Sequence[Image]) -> None:
    """Keep the number of frames and the first and last observation as metrics.

    They are ``combined_frames``, ``first_obs_id`` and ``last_obs_id`` (in order of time);
    definitions take them into the header. The hashes of all inputs are in the job's record.
    """
    metas = [image.meta for images in series for image in images]
    metric("combined_frames", len(metas))
    dated = [
        (float(meta.time.utc.mjd), meta.obs_id)
        for meta in metas
        if meta.obs_id is not None and meta.time is not None
    ]
    if dated:
        metric("first_obs_id", min(dated)[1])
        metric("last_obs_id", max(dated)[1])
