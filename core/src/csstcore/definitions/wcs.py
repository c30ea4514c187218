"""World coordinates to and from header cards, in the CDi_j form with TPV kept."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any, Final

from astropy.io import fits
from astropy.wcs import WCS

_FILL: Final = -9999
_PV: Final = re.compile(r"PV\d+_\d+$")
_WCS_KEY: Final = re.compile(
    r"WCSAXES$|WCSNAME$|(CTYPE|CRPIX|CRVAL|CUNIT|CDELT|CROTA)\d$|(CD|PC)\d_\d$|PV\d+_\d+$"
    r"|(A|B|AP|BP)_(ORDER|\d_\d)$|LONPOLE$|LATPOLE$|RADESYS$|RADECSYS$|EQUINOX$"
)


def read_wcs(values: Mapping[str, Any]) -> WCS | None:
    """Return the celestial WCS of a header, or None if it has none.

    Polynomial terms are left out where they are fill values or where the projection does
    not use them: a failed position module writes ``PVi_j = -9999`` beside ``RA---TAN``.

    Raises
    ------
    ValueError
        If the cards make no valid WCS.
    """
    first, second = str(values.get("CTYPE1", "")), str(values.get("CTYPE2", ""))
    if not (first and second):
        return None
    polynomial = first.endswith("TPV")
    header = fits.Header()
    for keyword, value in values.items():
        if not _WCS_KEY.match(keyword) or (
            _PV.match(keyword) and (not polynomial or value == _FILL)
        ):
            continue
        header["RADESYS" if keyword == "RADECSYS" else keyword] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on repaired cards
        try:
            wcs = WCS(header, naxis=2)
            wcs.wcs.set()
        except Exception as cause:  # wcslib raises many types
            raise ValueError(f"the WCS cards are not valid: {str(cause).strip()}") from cause
    return wcs


def wcs_cards(wcs: WCS) -> dict[str, tuple[Any, str]]:
    """Return the cards of a WCS: keyword to value and comment."""
    cards: dict[str, tuple[Any, str]] = {}
    w = wcs.wcs
    matrix = wcs.pixel_scale_matrix
    for i in (1, 2):
        cards[f"CTYPE{i}"] = (str(w.ctype[i - 1]), "axis type and projection")
    for i in (1, 2):
        cards[f"CRPIX{i}"] = (float(w.crpix[i - 1]), "[pixel] reference pixel")
    for i in (1, 2):
        cards[f"CRVAL{i}"] = (float(w.crval[i - 1]), "[deg] coordinate of the reference pixel")
    for i in (1, 2):
        cards[f"CUNIT{i}"] = (str(w.cunit[i - 1]) or "deg", "unit of the coordinate")
    for i in (1, 2):
        for j in (1, 2):
            cards[f"CD{i}_{j}"] = (float(matrix[i - 1, j - 1]), "[deg/pixel] rotation and scale")
    if str(w.radesys):
        cards["RADESYS"] = (str(w.radesys), "celestial reference system")
    for axis, number, value in w.get_pv():
        if str(w.ctype[0]).endswith("TPV"):
            cards[f"PV{axis}_{number}"] = (float(value), "distortion polynomial")
    if wcs.sip is not None:
        for keyword, value in wcs.to_header(relax=True).items():
            if re.match(r"(A|B|AP|BP)_(ORDER|\d_\d)$", keyword):
                cards[keyword] = (value, "distortion polynomial (SIP)")
    return cards


def is_wcs_keyword(keyword: str) -> bool:
    """Return whether a keyword belongs to the celestial WCS."""
    return _WCS_KEY.match(keyword) is not None
