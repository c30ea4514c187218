"""Many planets and many empty cubes: biases, errors and false positives are as they should be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "cpic_companions.py"


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    """The benchmark, which does the same for its results page."""
    spec = importlib.util.spec_from_file_location("cpic_companions", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_few_planets_are_where_they_are_and_as_bright(measure: ModuleType) -> None:
    fits = measure.injections(4, seed=900)
    assert np.all(fits.converged)
    assert np.all(np.abs(fits.flux - 1) < 4 * fits.flux_error)
    assert abs(np.mean(fits.flux) - 1) < 4 * np.mean(fits.flux_error) / np.sqrt(4)
    assert np.all(np.abs(fits.radial_fwhm) < 4 * fits.radial_error_fwhm)
    assert np.all(np.abs(fits.tangential_fwhm) < 4 * fits.tangential_error_fwhm)
    assert np.all(fits.flux_error < 0.2)
    assert np.all(fits.radial_error_fwhm < 0.1)


def test_a_few_empty_cubes_have_few_false_positives(measure: ModuleType) -> None:
    counts = measure.false_positives(12, seed=900)
    assert abs(counts.levelled - counts.expected) < 3 * counts.error


@pytest.mark.slow
def test_two_hundred_planets_at_a_signal_to_noise_of_ten(measure: ModuleType) -> None:
    fits = measure.injections(200).summary()
    assert fits["signal to noise"] == pytest.approx(10, abs=1)
    assert fits["converged"] > 0.98
    assert abs(fits["flux bias"]) < 0.02
    for axis in ("radial", "tangential"):
        assert abs(fits[f"{axis} bias [FWHM]"]) < 0.05
    for axis in ("flux", "radial", "tangential"):
        assert 0.9 < fits[f"{axis} pull"] < 1.1


@pytest.mark.slow
def test_false_positives_of_two_hundred_empty_cubes(measure: ModuleType) -> None:
    """Two binomial errors; plain apertures, which are not levelled, have far too many."""
    for changes in ({}, {"drift_frames": 40.0}):
        counts = measure.false_positives(200, **changes)
        assert abs(counts.levelled - counts.expected) < 2 * counts.error
        assert counts.plain > counts.expected + 5 * counts.error
