"""Cosmic rays in a single exposure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import exposure_time_second
from csst_calib.cosmic_rays.laplacian import Thresholds, find_by_laplacian
from csst_calib.cosmic_rays.network import find_by_network, open_network
from csst_calib.cosmic_rays.windows import Part, Unjudged
from csstcore.api import Image, InPlace, Onnx, Reference, UnprocessableData, metric

BLIND_FLAGS = ("bad", "hot")
UNJUDGED_FLAGS = (*BLIND_FLAGS, "saturated")


def detect_cosmic_rays(
    image: InPlace[Image],
    cosmic_ray_model: Reference[Onnx] | None = None,
    *,
    method: Literal["network", "lacosmic"] = "network",
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None,
    significance: Annotated[float, Field(gt=0)] = 4.5,
    neighbour_fraction: Annotated[float, Field(gt=0, le=1)] = 0.3,
    contrast: Annotated[float, Field(gt=0)] = 5.0,
) -> Image:
    """Flag pixels hit by cosmic rays.

    The default is a small network in ONNX Runtime that looks at the surroundings of pixels that
    stand out, or a U-Net such as deepCR's (Zhang & Bloom 2020, ApJ 889, 24), whichever the
    reference holds; ``lacosmic`` is L.A.Cosmic (van Dokkum 2001, PASP 113, 1420). All work in
    windows that overlap by what a pixel's result depends on, so that the flags do not depend on
    the windows and memory stays bounded. Pixels flagged bad, hot or saturated are not judged.

    Parameters
    ----------
    image
        Image in electron or electron / s, with its sky background. Its flag ``cosmic_ray`` is
        set where a hit is found.
    cosmic_ray_model
        Network with the metadata properties threshold, normalisation and receptive_field_pixel;
        wanted by method ``network``.
    method
        ``network`` or ``lacosmic``.
    threshold
        Probability above which the network's pixels count as hit: a lower one finds more, a
        higher one errs less. None takes the model's own, calibrated one.
    significance
        L.A.Cosmic: Laplacian signal over noise of a hit.
    neighbour_fraction
        L.A.Cosmic: share of `significance` that is enough beside a hit.
    contrast
        L.A.Cosmic: least ratio of the Laplacian to the fine structure; higher spares sharper
        stars.

    Returns
    -------
    Image
        The same image. Metric ``cosmic_ray_pixels``: number of pixels flagged.

    Raises
    ------
    UnprocessableData
        If the unit is another, the model is missing or does not say how to use it, rates come
        without an exposure time, or L.A.Cosmic lacks the read noise.
    """
    _require_electrons(image)
    bit = _cosmic_ray_bit(image)
    flags = np.zeros(image.shape, np.uint16) if image.flags is None else image.flags
    unjudged = partial(_has_any, flags, _bits(image, UNJUDGED_FLAGS))
    if method == "network":
        blind = partial(_has_any, flags, _bits(image, BLIND_FLAGS))
        found = _by_network(image, cosmic_ray_model, threshold, blind)
    else:
        thresholds = Thresholds(significance, neighbour_fraction, contrast)
        found = _by_laplacian(image, thresholds, unjudged)
    image.flags = flags
    number = 0
    for window, hit in found:
        hit &= ~unjudged(window.rows, window.columns)
        number += int(np.count_nonzero(hit))
        flags[window.rows, window.columns] |= hit * bit
    metric("cosmic_ray_pixels", number)
    return image


def _by_network(
    image: Image, model: Onnx | None, threshold: float | None, blind: Unjudged
) -> Iterator[Part]:
    if model is None:
        raise UnprocessableData(
            "method 'network' needs a reference calib.cosmic_ray_model and found none; "
            "add one or use method 'lacosmic'"
        )
    network = open_network(model)
    chosen = network.threshold if threshold is None else threshold
    return find_by_network(
        image.data, network, chosen, electron_per_unit=_electron_per_unit(image), blind=blind
    )


def _by_laplacian(image: Image, thresholds: Thresholds, unjudged: Unjudged) -> Iterator[Part]:
    if image.meta.read_noise is None:
        raise UnprocessableData("method 'lacosmic' needs the read noise; meta.read_noise is empty")
    return find_by_laplacian(
        image.data,
        thresholds,
        electron_per_unit=_electron_per_unit(image),
        read_noise_electron=float(np.mean(image.meta.read_noise.to_value(u.electron))),
        unjudged=unjudged,
    )


def _electron_per_unit(image: Image) -> float:
    return 1.0 if image.unit == u.electron else exposure_time_second(image)


def _require_electrons(image: Image) -> None:
    if image.unit not in (u.electron, u.electron / u.s):
        raise UnprocessableData(
            f"image is in {image.unit.to_string() or 'no unit'}; "
            "cosmic rays are found in electron or electron / s"
        )


def _cosmic_ray_bit(image: Image) -> np.uint16:
    if "cosmic_ray" not in image.flag_bits:
        raise UnprocessableData(
            f"the image has no flag 'cosmic_ray'; it has {', '.join(image.flag_bits) or 'none'}"
        )
    return image.bit("cosmic_ray")


def _bits(image: Image, wanted: tuple[str, ...]) -> np.uint16:
    names = [name for name in wanted if name in image.flag_bits]
    return np.uint16(sum(int(image.bit(name)) for name in names))


def _has_any(
    flags: NDArray[np.uint16], bits: np.uint16, rows: slice, columns: slice
) -> NDArray[np.bool_]:
    return np.asarray(flags[rows, columns] & bits, np.bool_)
