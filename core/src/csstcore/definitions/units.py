"""Units as TOML files and FITS headers spell them."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Final

import astropy.units as u

_SPELLINGS: Final = (
    (re.compile(r"\bADU\b|\bDN\b"), "adu"),
    (re.compile(r"\be-(?=\W|$)|\be(?=\s*/|\s*$)|\bELECTRONS?\b|\belectrons\b"), "electron"),
    (re.compile(r"\bUNITLESS\b"), ""),
)
"""Spellings found in headers that astropy does not know."""


@lru_cache(maxsize=512)
def parse_unit(text: str) -> u.UnitBase:
    """Parse a unit, accepting spellings such as ``ADU`` and ``e/s``.

    Parameters
    ----------
    text
        The unit; blank means dimensionless.

    Raises
    ------
    ValueError
        If the text is not a unit.
    """
    for spelling, standard in _SPELLINGS:
        text = spelling.sub(standard, text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        try:
            return u.Unit(text.strip())
        except (ValueError, TypeError) as cause:
            raise ValueError(f"{text!r} is not a unit") from cause
