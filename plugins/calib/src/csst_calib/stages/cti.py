"""Correction of charge-transfer inefficiency."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_calib.agreement import require_readout, require_unit
from csst_calib.readout import Channel, Readout
from csst_calib.tiles import row_tiles
from csst_calib.trails import remove_trails
from csst_calib.traps import TrapModel, Traps
from csstcore.api import Image, InPlace, NotApplicable, Reference, Table, allowed_threads

TILE_LINES = 128
"""Lines corrected together: the traps of a tile stay in the fastest cache."""


def correct_cti(
    image: InPlace[Image],
    readout: Reference[Readout],
    cti: Reference[Table] | None = None,
    *,
    iterations: Annotated[int, Field(ge=1)] = 3,
) -> Image:
    """Put charge that traps delayed back into the pixels it came from.

    Charge moved along columns first and along rows then, so trails of the serial register
    are removed first; each channel towards its own amplifier. The model and its inversion
    are those of `csst_calib.trails.remove_trails`. Read noise was added after the transfer
    and is corrected as if it were charge, which raises it by about the charge lost per
    transferred electron, less than 1 % above 1 electron. The variance is left as it is.

    Parameters
    ----------
    image
        Bias-subtracted and linear image in electrons, changed in place.
    readout
        Geometry of the channels.
    cti
        One row per channel in the order of the readout: the traps measured by `measure_cti`.
    iterations
        Repetitions of the inversion.

    Raises
    ------
    NotApplicable
        If there is no reference.
    UnprocessableData
        If the image is not in electrons, or the reference does not fit the readout.
    """
    if cti is None:
        raise NotApplicable("there is no charge-transfer reference")
    require_unit(image, u.electron)
    require_readout(image, readout)
    model = TrapModel.of(cti, readout)

    def correct(channel: Channel) -> None:
        data = image.data[channel.active][channel.read_order]
        serial, parallel = model.serial[channel.index], model.parallel[channel.index]
        _correct(data.T, serial, readout.prescan_columns, iterations)
        _correct(data, parallel, readout.prescan_rows, iterations)

    with ThreadPoolExecutor(min(allowed_threads(), readout.channels)) as pool:
        list(pool.map(correct, readout))
    return image


def _correct(packets: NDArray[np.float32], traps: Traps, skipped: int, iterations: int) -> None:
    """Remove the trails along axis 0 of a view, in place."""
    if not len(traps.density):
        return
    for lines in row_tiles(packets.shape[1], TILE_LINES):
        tile = np.ascontiguousarray(packets[:, lines])
        remove_trails(tile, traps, skipped, iterations)
        packets[:, lines] = tile
