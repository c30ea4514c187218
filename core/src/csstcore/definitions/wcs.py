"""World coordinates to and from header cards, in the CDi_j form with TPV kept."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, Final

from astropy.io import fits
from astropy.wcs import WCS

from csstcore.definitions.fitsfile import one_line

_FILL: Final = -9999
_PV: Final = re.compile(r"PV\d+_\d+$")
_SIP: Final = re.compile(r"(A|B|AP|BP)_(ORDER|\d_\d)$")
_LAST_TERM: Final = 6
_SPECTRAL: Final = re.compile(r"(SPECSYS|SSYSOBS|VELOSYS|RESTFRQ|RESTWAV)$")
_WCS_KEY: Final = re.compile(
    r"WCSAXES$|WCSNAME$|(CTYPE|CRPIX|CRVAL|CUNIT|CDELT|CROTA|CRDER)\d$|(CD|PC)\d_\d$|PV\d+_\d+$"
    r"|(A|B|AP|BP)_(ORDER|\d_\d)$|LONPOLE$|LATPOLE$|RADESYS$|RADECSYS$|EQUINOX$"
    r"|SPECSYS$|SSYSOBS$|VELOSYS$|RESTFRQ$|RESTWAV$"
)


def read_wcs(values: Mapping[str, Any], *, frames: bool = False) -> WCS | None:
    """Return the celestial WCS of a header, or None if it has none.

    A third axis with a type (frequency, velocity or wavelength of a cube) belongs to it.
    Polynomial terms that are fill values are left out: a failed position module writes
    ``PVi_j = -9999`` beside ``RA---TAN``, which wcslib would use as a distortion.

    Parameters
    ----------
    values
        The header.
    frames
        The third axis counts images, and is left out.

    Raises
    ------
    ValueError
        If the cards make no valid WCS.
    """
    first, second = str(values.get("CTYPE1", "")), str(values.get("CTYPE2", ""))
    if not (first and second):
        return None
    header = fits.Header()
    for keyword, value in values.items():
        if _WCS_KEY.match(keyword) and not (_PV.match(keyword) and value == _FILL):
            header["RADESYS" if keyword == "RADECSYS" else keyword] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on repaired cards
        try:
            wcs = WCS(header, naxis=3 if values.get("CTYPE3") and not frames else 2)
            wcs.wcs.set()
            if "IMAGEW" in values and "IMAGEH" in values:
                wcs.pixel_shape = int(values["IMAGEW"]), int(values["IMAGEH"])
        except Exception as cause:  # wcslib raises many types
            raise ValueError(f"the WCS cards are not valid: {one_line(cause)}") from cause
    return wcs


def wcs_cards(wcs: WCS, *, with_size: bool = False) -> dict[str, tuple[Any, str]]:
    """Return the cards of a WCS of two or three axes: keyword to value and comment.

    A TPV solution has the documented terms PVi_0 to PVi_6 at least.

    Parameters
    ----------
    wcs
        The solution.
    with_size
        Write the size of its image as IMAGEW and IMAGEH (the keywords of astrometry.net), for
        headers that stand apart from the image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on what other header forms cannot hold
        header = wcs.to_header(relax=True)
    matrix = wcs.pixel_scale_matrix
    axes = range(1, wcs.naxis + 1)
    unit = {i: str(header[f"CUNIT{i}"]) if i > 2 else "deg" for i in axes}
    cards: dict[str, tuple[Any, str]] = {}
    for i in axes:
        cards[f"CTYPE{i}"] = (str(header[f"CTYPE{i}"]), "axis type and projection")
    for i in axes:
        cards[f"CRPIX{i}"] = (float(wcs.wcs.crpix[i - 1]), "[pixel] reference pixel")
    for i in axes:
        cards[f"CRVAL{i}"] = (float(wcs.wcs.crval[i - 1]), f"[{unit[i]}] reference coordinate")
    for i in axes:
        cards[f"CUNIT{i}"] = (unit[i], "unit of the coordinate")
    for i in axes:
        for j in axes:
            if max(i, j) < 3 or i == j:
                text = f"[{unit[i]}/pixel] rotation and scale"
                cards[f"CD{i}_{j}"] = (float(matrix[i - 1, j - 1]), text)
    for i in (1, 2):
        if math.isfinite(wcs.wcs.crder[i - 1]):
            cards[f"CRDER{i}"] = (float(wcs.wcs.crder[i - 1]), "[deg] random error")
    if with_size and wcs.pixel_shape is not None:
        for keyword, size in zip(("IMAGEW", "IMAGEH"), wcs.pixel_shape, strict=True):
            cards[keyword] = (int(size), "[pixel] size of the image")
    cards["RADESYS"] = (str(wcs.wcs.radesys) or "ICRS", "celestial reference system")
    if str(header["CTYPE1"]).endswith("TPV"):
        terms = [int(keyword[4:]) for keyword in header if _PV.match(keyword)]
        for i in (1, 2):
            for term in range(max([_LAST_TERM, *terms]) + 1):
                value = float(header.get(f"PV{i}_{term}", term == 1))
                cards[f"PV{i}_{term}"] = (value, "distortion polynomial")
    for keyword in header:
        if _SIP.match(keyword):
            cards[keyword] = (header[keyword], "distortion polynomial (SIP)")
        elif wcs.naxis > 2 and _SPECTRAL.match(keyword):
            cards[keyword] = (header[keyword], header.comments[keyword])
    return cards
