"""Values of keywords: typed, and compared with what the definition allows."""

from __future__ import annotations

import math
import re
from typing import Any

from csstcore.definitions.fitsfile import Unreadable
from csstcore.definitions.hdu_model import KeywordModel


class WrongValue(ValueError):
    """A value that its keyword may not have; the message says found and expected."""


def typed(model: KeywordModel, value: Any) -> Any:
    """Return a header's value in the keyword's type.

    A whole number is a float where one is declared, and text where the declared pattern
    fits its digits (identifiers that some writers store as numbers).

    Raises
    ------
    WrongValue
        If it is of another type, or not a finite number.
    """
    if isinstance(value, Unreadable):
        raise WrongValue(f"found {value.text!r}, expected {_expected(model)}")
    if model.type == "float" and type(value) in (int, float):
        number = float(value)
        if not math.isfinite(number):
            raise WrongValue(f"found {value!r}, expected a finite number")
        return number
    if model.type == "int" and type(value) is int:
        return value
    if model.type == "bool" and type(value) is bool:
        return value
    if model.type == "str" and isinstance(value, str):
        return value.strip()
    if model.type == "str" and type(value) is int and model.pattern is not None:
        text = str(value)
        if re.fullmatch(model.pattern, text):
            return text
    raise WrongValue(f"found {value!r}, expected {_expected(model)}")


def allowed(model: KeywordModel, value: Any) -> Any:
    """Return the typed value if the keyword may have it; its fill value always may.

    Raises
    ------
    WrongValue
        If it is out of range, not among the choices, or does not match the pattern.
    """
    value = typed(model, value)
    if is_fill(model, value):
        return value
    if model.pattern is not None and re.fullmatch(model.pattern, str(value)) is None:
        raise WrongValue(f"found {value!r}, expected one matching {model.pattern}")
    if model.choices and value not in model.choices:
        raise WrongValue(f"found {value!r}, expected one of {', '.join(map(str, model.choices))}")
    if model.minimum is not None and value < model.minimum:
        raise WrongValue(f"found {value!r}, expected at least {model.minimum:g}")
    if model.maximum is not None and value > model.maximum:
        raise WrongValue(f"found {value!r}, expected at most {model.maximum:g}")
    return value


def is_fill(model: KeywordModel, value: Any) -> bool:
    """Return whether the value stands for "unknown"."""
    return value is None or value == model.fill_value


def _expected(model: KeywordModel) -> str:
    names = {"int": "a whole number", "float": "a number", "str": "text", "bool": "T or F"}
    return names[model.type]
