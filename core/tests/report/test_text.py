from __future__ import annotations

import pytest

from csstcore.report import text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (True, "yes"),
        (412, "412"),
        (210_000, "210\u202f000"),
        (0.0123456789, "0.0123457"),
        (1.5e-7, "1.5e-7"),
        (2.0e9, "2e9"),
        ("deepcr", "deepcr"),
    ],
)
def test_numbers(value: object, expected: str) -> None:
    assert text.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0.00 s"),
        (0.996, "1.0 s"),
        (12.34, "12.3 s"),
        (185.2, "3 min 05 s"),
        (7620.0, "2 h 07 min"),
    ],
)
def test_times(value: float, expected: str) -> None:
    assert text.seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "–"), (2880, "3 kB"), (3.4e8, "340 MB"), (2.346e9, "2.35 GB")]
)
def test_sizes(value: float, expected: str) -> None:
    assert text.size(value) == expected


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [(0.0, 5.0, "0 … 5"), (3.0, None, "≥ 3"), (None, 0.05, "≤ 0.05"), (None, None, "")],
)
def test_limits(minimum: float | None, maximum: float | None, expected: str) -> None:
    assert text.limits({"minimum": minimum, "maximum": maximum}) == expected


def test_moments_are_in_utc_to_the_second() -> None:
    assert text.moment("2027-03-01T08:00:00.9+08:00") == "2027-03-01 00:00:00 UTC"
    assert text.moment("") == ""
