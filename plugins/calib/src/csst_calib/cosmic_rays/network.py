"""Cosmic rays by a small network in ONNX Runtime, window by window."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from csst_calib.cosmic_rays.normalise import measure_background, scale
from csst_calib.cosmic_rays.windows import ALIGNMENT_PIXEL, Part, Unjudged, Window, windows
from csst_calib.threads import allowed_threads
from csstcore.api import Onnx, UnprocessableData

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WINDOW_PIXEL = 512
NORMALISATION = "asinh((pixel - background) / noise)"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """An open network with what its file says about its use."""

    session: InferenceSession
    input: str
    threshold: float
    """Calibrated threshold on the probability."""
    receptive_field: int
    """How many pixels away a pixel's result may depend on others."""


def open_network(model: Onnx) -> Network:
    """Open a network and read its metadata properties.

    Raises
    ------
    UnprocessableData
        If a property is missing, is no number, or asks for another normalisation.
    """
    session = model.session(threads=1)
    properties = session.get_modelmeta().custom_metadata_map
    if properties.get("normalisation") != NORMALISATION:
        raise UnprocessableData(
            f"cosmic-ray model {model.path}: property normalisation is "
            f"{properties.get('normalisation')!r}; expected {NORMALISATION!r}"
        )
    try:
        return Network(
            session,
            properties["input"],
            float(properties["threshold"]),
            int(properties["receptive_field_pixel"]),
        )
    except (KeyError, ValueError) as error:
        raise UnprocessableData(
            f"cosmic-ray model {model.path}: property {error} is missing or no number; "
            "expected input, threshold and receptive_field_pixel"
        ) from error


def find_by_network(
    data: NDArray[np.float32],
    network: Network,
    threshold: float,
    *,
    unjudged: Unjudged,
    size: int = WINDOW_PIXEL,
) -> Iterator[Part]:
    """Find cosmic rays, window by window; the result does not depend on the window's size.

    Each thread takes whole windows: threads inside the network's operators wait for each
    other, which cost half as much again where cores are shared.

    Parameters
    ----------
    data
        Frame in electrons or electrons per second, shape (rows, columns).
    network
        The network.
    threshold
        Probability above which a pixel counts as hit.
    unjudged
        Pixels that the network must not look at.
    size
        Largest side of a window.

    Yields
    ------
    Part
        A window and where cosmic rays are in its judged part.
    """
    mesh = measure_background(data)

    def judge(window: Window) -> Part:
        seen = window.seen_rows, window.seen_columns
        scaled = scale(data[seen], *mesh.at(*seen))
        scaled[unjudged(*seen)] = 0
        missing = [(0, -length % ALIGNMENT_PIXEL) for length in scaled.shape]
        padded = np.pad(scaled, missing) if any(after for _, after in missing) else scaled
        (probability,) = network.session.run(None, {network.input: padded[None, None]})
        return window, probability[0, 0][window.inner] >= threshold

    with ThreadPoolExecutor(allowed_threads()) as pool:
        parts = windows((data.shape[0], data.shape[1]), size, network.receptive_field)
        yield from pool.map(judge, parts)
