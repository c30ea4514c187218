"""Read single-dish FITS: one table row per dump, each with its own frequency axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable

from csstcore.api import FileError, Spectra

FACTS = ("OBJECT", "PROJID", "TELESCOP", "DATE-OBS", "EXPOSURE")
STATES = ("SCAN", "OBSMODE", "IFNUM", "PLNUM", "CAL")
NUMBERS = {"TCAL": u.K, "EXPOSURE": u.s}


def read(path: Path, *, header_only: bool = False) -> tuple[Mapping[str, Any], list[Spectra]]:
    """Read a single-dish FITS table as spectra.

    Parameters
    ----------
    path
        A file with the table ``SINGLE DISH`` (Garwood 2000, ASP Conf. 216, 243).

    Returns
    -------
    header, products
        Values of the first row, and one `Spectra` of all rows: ``flux`` in counts, ``axis``
        in Hz of shape (rows, channels).
    """
    try:
        with fits.open(path) as hdus:
            table = hdus["SINGLE DISH"].data
            first = {name: _plain(table[name][0]) for name in FACTS}
            if header_only:
                return first, []
            flux = np.ascontiguousarray(table["DATA"], np.float32)
            rows = QTable({name: np.asarray(table[name]) for name in STATES})
            for name, unit in NUMBERS.items():
                rows[name] = np.asarray(table[name], float) * unit
            channel = np.arange(1, flux.shape[1] + 1) - table["CRPIX1"][:, None]
            axis = table["CRVAL1"][:, None] + channel * table["CDELT1"][:, None]
    except KeyError as error:
        raise FileError(f"{path}: not single-dish FITS: {error.args[0]}") from error
    except OSError as error:
        raise FileError(f"{path}: not a FITS file: {error}") from error
    return first, [Spectra(flux=flux, axis=axis * u.Hz, unit=u.count, rows=rows)]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
