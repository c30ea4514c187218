"""Charge-transfer inefficiency from the overscan behind evenly lit frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pydantic import Field

from csst_cpic.camera.agreement import (
    em_gain_of,
    gain_electron_per_adu,
    require_shape,
    require_unit,
)
from csst_cpic.camera.bias_level import measure_rows
from csst_cpic.camera.edge_response import (
    Edge,
    EdgeFit,
    clipped_mean,
    edges_of,
    fit_edges,
    model_of,
    noise_covariance,
)
from csst_cpic.camera.transfer import DIRECTIONS
from csst_cpic.detector import Detector
from csstcore.api import (
    Image,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    common_meta,
    metric,
    note_frames,
)

LEAST_ELECTRON = 500.0
"""Charge at an edge below which a frame has no light to leave a trail."""
BELOW_TAILS = 0.9
"""Largest packets, over those that leave a tail in the register: packets scatter."""
BRIGHT_FRACTION = 0.8
"""Frames of at least this part of the highest charge make the trails that are shown."""
SHOWN_PIXELS = 8


def measure_cti(
    flats: Sequence[Image],
    biases: Sequence[Image],
    detector: Reference[Detector],
    *,
    largest_electron: Annotated[float, Field(gt=0)] | None = None,
) -> Annotated[Table, "cti"]:
    """Measure the charge-transfer inefficiency by extended-pixel-edge response.

    What the last lit rows and columns left behind comes out in the overscan that follows. The
    mean of the bias frames is subtracted, then the level of every row by its prescan. The
    trails of all frames are fitted with one inefficiency and one release time for each
    direction (`csst_cpic.camera.transfer`); the charge before the edge is what the frame shows.

    Parameters
    ----------
    flats
        Raw, evenly lit frames at EM gain 1.
    biases
        Raw bias frames at EM gain 1, two or more.
    detector
        Geometry, and the gain where a frame has none.
    largest_electron
        Charge at the edge above which a frame takes no part: the register of an EMCCD holds
        part of large packets back by itself, and those tails are no transfer. By default nine
        tenths of the detector's charge from which it does.

    Returns
    -------
    cti
        One row: for each direction (``vertical_``, ``horizontal_``) ``inefficiency`` and
        ``release`` (pixel) with ``_error``, ``chi_square`` and, of the brightest frames,
        ``trail``, ``trail_error`` and ``trail_fit`` (electron, 8 pixels). Metrics:
        ``cte_vertical``, ``cte_horizontal``.

    Raises
    ------
    UnprocessableData
        If frames do not fit the geometry or have an EM gain above 1, there is no edge of light,
        or no trail is seen.
    """
    _require(flats, biases, detector)
    if largest_electron is None:
        largest_electron = BELOW_TAILS * detector.register_tail_electron
    bias = _mean_frame(biases)
    found = [edges_of(_electrons(image, bias, detector), detector) for image in flats]
    dark = [_electrons(image, bias, detector) for image in biases]
    rows, columns = detector.active
    profiles = {
        "vertical": [clipped_mean(frame[:, columns]) for frame in dark],
        "horizontal": [clipped_mean(frame[rows].T) for frame in dark],
    }
    table = QTable()
    packets = {
        "vertical": detector.dark_rows + detector.active_rows,
        "horizontal": detector.prescan_columns + detector.active_columns,
    }
    for place, direction in enumerate(DIRECTIONS):
        edges = _usable([edges[place] for edges in found], direction, largest_electron)
        covariance = noise_covariance(profiles[direction], len(edges[0].trail))
        try:
            fit = fit_edges(edges, packets[direction], covariance, len(biases))
        except ValueError as error:
            raise UnprocessableData(f"{direction} trails: {error}") from None
        noise = np.sqrt(np.diag(covariance))
        _add(table, direction, edges, fit, packets[direction], noise, len(biases))
        metric(f"cte_{direction}", 1 - fit.transfer.inefficiency)
    note_frames(flats, biases)
    return Table(table, common_meta([image.meta for image in flats]))


def _require(flats: Sequence[Image], biases: Sequence[Image], detector: Detector) -> None:
    for name, images, least in (("flat", flats, 1), ("bias", biases, 2)):
        if len(images) < least:
            raise UnprocessableData(f"there are {len(images)} {name} frames; expected {least}")
        for image in images:
            require_unit(image, u.adu, f"{name} frame")
            require_shape(image, detector.raw_shape, "the raw frame of the detector")
            if em_gain_of(image) != 1:
                raise UnprocessableData(
                    f"a {name} frame has the EM gain {em_gain_of(image):g}; expected 1: the single "
                    "electrons of a trail do not stand out of the noise of the register's gain"
                )
    for name in ("prescan_columns", "overscan_columns", "overscan_rows"):
        if getattr(detector, name) < 2:
            raise UnprocessableData(
                f"the detector has {name} {getattr(detector, name)}; expected at least 2 to see "
                "trails"
            )


def _mean_frame(biases: Sequence[Image]) -> NDArray[np.float64]:
    """Return the mean of bias frames, without values far from the median of a pixel."""
    stack = np.stack([np.asarray(image.data, np.float32) for image in biases])
    middle = np.median(stack, axis=0)
    sigma = max(1.4826 * float(np.median(np.abs(stack - middle))), 0.5)
    kept = np.abs(stack - middle) <= 5 * sigma
    return np.asarray((kept * stack).sum(axis=0) / kept.sum(axis=0), np.float64)


def _electrons(image: Image, bias: NDArray[np.float64], detector: Detector) -> NDArray[np.float64]:
    """Return a raw-format frame in electrons, without bias and level."""
    data = np.asarray(image.data, np.float64) - bias
    prescan, overscan = (
        data[region].astype(np.float32) for region in (detector.prescan, detector.overscan)
    )
    try:
        rows = measure_rows(prescan, overscan)
    except ValueError as why:
        raise UnprocessableData(str(why)) from None
    return np.asarray((data - rows.level[:, None]) * gain_electron_per_adu(image, detector))


def _usable(edges: Sequence[Edge], direction: str, largest_electron: float) -> list[Edge]:
    charges = [edge.charge for edge in edges]
    if min(charges) < LEAST_ELECTRON:
        raise UnprocessableData(
            f"a frame has {min(charges):.0f} electron at the {direction} edge; expected at least "
            f"{LEAST_ELECTRON:.0f}, an edge of light before the overscan"
        )
    usable = [edge for edge in edges if edge.charge <= largest_electron]
    if not usable:
        raise UnprocessableData(
            f"every frame has more than {largest_electron:g} electron at the {direction} edge, "
            f"{min(charges):.0f} and more; expected less"
        )
    if len(usable) < len(edges):
        caveat(
            f"{len(edges) - len(usable)} of {len(edges)} frames have more than "
            f"{largest_electron:g} electron at the {direction} edge and take no part"
        )
    return usable


def _add(
    table: QTable,
    direction: str,
    edges: Sequence[Edge],
    fit: EdgeFit,
    packets: int,
    noise: NDArray[np.float64],
    biases: int,
) -> None:
    """Add the columns of a direction; trails beyond the overscan are NaN."""
    table[f"{direction}_inefficiency"] = [fit.transfer.inefficiency]
    table[f"{direction}_inefficiency_error"] = [fit.inefficiency_error]
    table[f"{direction}_release"] = [fit.transfer.release_pixel] * u.pixel
    table[f"{direction}_release_error"] = [fit.release_error] * u.pixel
    table[f"{direction}_chi_square"] = [fit.chi_square]
    brightest = max(edge.charge for edge in edges)
    bright = [edge for edge in edges if edge.charge >= BRIGHT_FRACTION * brightest]
    first = packets - len(bright[0].lit)
    shown = min(SHOWN_PIXELS, len(bright[0].trail))
    columns = {
        "trail": np.mean([edge.trail for edge in bright], axis=0),
        "trail_error": noise * np.sqrt(1 / len(bright) + 1 / biases),
        "trail_fit": np.mean([model_of(edge, fit.transfer, first) for edge in bright], axis=0),
    }
    for name, values in columns.items():
        column = np.full((1, SHOWN_PIXELS), np.nan)
        column[0, :shown] = values[:shown]
        table[f"{direction}_{name}"] = column * u.electron
