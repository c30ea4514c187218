"""Cosmic rays by a small network in ONNX Runtime, window by window.

A file holds a network of one of two forms, told by the name of its input: ``patch``, which
judges the centre of a patch and is asked about candidates only, and ``scaled``, which judges
every pixel of an image (U-Nets such as deepCR's).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from csst_calib.cosmic_rays.candidates import REACH_PIXEL, find_candidates, gather
from csst_calib.cosmic_rays.normalise import measure_background, scale
from csst_calib.cosmic_rays.windows import ALIGNMENT_PIXEL, Part, Unjudged, Window, windows
from csstcore.api import Onnx, UnprocessableData, allowed_threads

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WINDOW_PIXEL = 512
PATCHES_AT_ONCE = 4096
NORMALISATION = "asinh((pixel - background) / noise)"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """An open network with what its file says about its use."""

    session: InferenceSession
    threshold: float
    """Calibrated threshold on the probability."""
    receptive_field: int
    """How many pixels away a pixel's result may depend on others."""
    patch_side: int | None
    """Side of the patches it takes; None if it takes images."""

    def probability(
        self,
        electron: NDArray[np.float32],
        level: NDArray[np.float32],
        noise: NDArray[np.float32],
        blind: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return the probability of each pixel of a window, zero at pixels that do not stand out.

        Parameters
        ----------
        electron, level, noise
            Pixels, background and noise in electrons, shape (rows, columns).
        blind
            Pixels without a meaning, same shape.
        """
        electron = np.where(blind, level, electron)
        scaled = scale(electron, level, noise)
        if self.patch_side is None:
            return self._of_image(scaled)
        rows, columns = np.nonzero(find_candidates(electron, level, noise))
        plane = np.zeros(scaled.shape, np.float32)
        for start in range(0, len(rows), PATCHES_AT_ONCE):
            some = rows[start : start + PATCHES_AT_ONCE], columns[start : start + PATCHES_AT_ONCE]
            patches = gather(scaled, *some, self.patch_side)
            values = {"patch": patches, "noise_electron": noise[some][:, None]}
            (plane[some],) = self.session.run(["probability"], values)
        return plane

    def _of_image(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        rows, columns = scaled.shape
        padded = np.pad(scaled, [(0, -length % ALIGNMENT_PIXEL) for length in scaled.shape])
        (planes,) = self.session.run(["probability"], {"scaled": padded[None, None]})
        plane: NDArray[np.float32] = planes[0, 0, :rows, :columns]
        return plane


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
        threshold = float(properties["threshold"])
        receptive_field = int(properties["receptive_field_pixel"])
    except (KeyError, ValueError) as error:
        raise UnprocessableData(
            f"cosmic-ray model {model.path}: property {error} is missing or no number; "
            "expected threshold and receptive_field_pixel"
        ) from error
    shapes = {entry.name: entry.shape for entry in session.get_inputs()}
    side = int(shapes["patch"][1]) if "patch" in shapes else None
    return Network(session, threshold, receptive_field + REACH_PIXEL * (side is not None), side)


def find_by_network(
    data: NDArray[np.float32],
    network: Network,
    threshold: float,
    *,
    electron_per_unit: float,
    blind: Unjudged,
    size: int = WINDOW_PIXEL,
) -> Iterator[Part]:
    """Find cosmic rays, window by window; the result does not depend on the window's size.

    Each thread takes whole windows: threads inside the network's operators wait for each
    other, which cost half as much again where cores are shared.

    Parameters
    ----------
    data
        Frame with its background, shape (rows, columns).
    network
        The network.
    threshold
        Probability above which a pixel counts as hit.
    electron_per_unit
        Electrons per unit of `data`: 1, or the exposure time in seconds.
    blind
        Pixels that the network must not look at.
    size
        Largest side of a window.

    Yields
    ------
    Part
        A window and where cosmic rays are in its judged part.
    """
    mesh = measure_background(data)
    factor = np.float32(electron_per_unit)

    def judge(window: Window) -> Part:
        seen = window.seen_rows, window.seen_columns
        unseen = blind(*seen) | ~np.isfinite(data[seen])
        pixels = data[seen] if factor == 1 else data[seen] * factor
        level, noise = (plane if factor == 1 else plane * factor for plane in mesh.at(*seen))
        probability = network.probability(pixels, level, noise, unseen)
        return window, probability[window.inner] >= threshold

    with ThreadPoolExecutor(allowed_threads()) as pool:
        parts = windows((data.shape[0], data.shape[1]), size, network.receptive_field)
        yield from pool.map(judge, parts)
