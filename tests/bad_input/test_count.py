"""How many cases there are."""

from __future__ import annotations

from . import test_command_line, test_fits, test_toml


def test_there_are_two_thousand_different_cases_and_a_hundred_processes() -> None:
    generated = [
        *(("fits", case.name) for case in test_fits.CASES),
        *(("toml", case.name) for cases in test_toml.CASES.values() for case in cases),
        *(("words", case.words) for case in test_command_line.CASES),
    ]
    assert len(set(generated)) == len(generated) >= 2000
    assert len(test_command_line.PROCESSES) >= 100
