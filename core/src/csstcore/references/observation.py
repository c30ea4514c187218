"""`Observation`: the values of a product's `Meta` as rules compare them."""

from __future__ import annotations

from typing import Any, Final

from csstcore.products.meta import META_TIMES, Meta, plain_value

CELL: Final = "cell"
"""What a rule of a partitioned type matches beside the fields of `Meta`."""

_MICROSECONDS_PER_DAY = 86_400_000_000
_JULIAN_DAY_OF_1970 = 2_440_587.5


class Observation:
    """Reads each field of a `Meta` once, however many rules ask for it.

    Quantities are floats in the unit of `csstcore.products.meta.META_UNITS` (tuples of them
    where there is one per channel), times are whole microseconds since 1970 (UTC).
    """

    __slots__ = ("_values", "meta")

    def __init__(self, meta: Meta) -> None:
        self.meta = meta
        self._values: dict[str, Any] = {}

    def at(self, cell: int) -> Observation:
        """Return the observation as seen by the rules for one cell of a partition."""
        other = Observation(self.meta)
        other._values = {**self._values, CELL: cell}
        return other

    def __getitem__(self, field: str) -> Any:
        """Return the value of a field of `Meta`, None if the observation does not give it."""
        try:
            return self._values[field]
        except KeyError:
            value = self._values[field] = self._read(field)
            return value

    def _read(self, field: str) -> Any:
        raw: Any = getattr(self.meta, field, None)
        if raw is None or isinstance(raw, (str, int)):
            return raw
        if field in META_TIMES:
            time = raw.utc
            # The two parts are summed as microseconds: a single Julian day resolves only 20 us.
            days = time.jd1 - _JULIAN_DAY_OF_1970
            return round(days * _MICROSECONDS_PER_DAY + time.jd2 * _MICROSECONDS_PER_DAY)
        value = plain_value(self.meta, field)
        return tuple(value) if isinstance(value, list) else value

    def text(self, field: str) -> str:
        """Return the value for a message."""
        value = self[field] if field == CELL else plain_value(self.meta, field)
        return f"no {field}" if value is None else f"{field} {value!r}"
