"""Checks and figure of a PSF."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from csst_imaging.checks_psf import psf_ellipticity, psf_fwhm
from csst_imaging.figures_psf import psf_field
from csst_imaging.psf.field_shapes import field_shapes
from csstcore.api import Psf


def elongated(e1: float = 0.05, slope: float = 0.02) -> Psf:
    """Gaussians of FWHM 2.355, xx / yy growing along x."""
    line = (np.arange(71) - 35) * 0.5
    y, x = np.meshgrid(line, line, indexing="ij")

    def gaussian(e):
        value = np.exp(-0.5 * (x**2 / (1 + e) + y**2 / (1 - e)))
        return value / value.sum() / 0.25

    samples = np.zeros((3, 71, 71), np.float32)
    samples[0] = gaussian(e1)
    samples[1] = gaussian(e1 + slope) - gaussian(e1)
    return Psf(samples, 0.5, 1, (500.0, 400.0), (1000.0, 800.0))


def test_shapes_are_those_of_the_psf() -> None:
    shapes = field_shapes(elongated(slope=0.0), 3)
    np.testing.assert_allclose(shapes.e1, 0.05, atol=1e-4)
    np.testing.assert_allclose(shapes.e2, 0.0, atol=1e-4)
    np.testing.assert_allclose(shapes.fwhm, 2.3548, rtol=0.01)
    np.testing.assert_allclose(sorted(set(shapes.x)), [500 - 1000 / 3, 500, 500 + 1000 / 3])


def test_checks_are_of_the_whole_field() -> None:
    assert psf_fwhm(elongated()) == pytest.approx(2.3548, rel=0.01)
    assert psf_ellipticity(elongated()) == pytest.approx(0.05 + 0.4 * 0.02, abs=1e-3)


def test_a_psf_that_cannot_be_measured_has_no_number() -> None:
    nothing = Psf(np.zeros((1, 9, 9), np.float32), 0.5, 0, (1.0, 1.0), (1.0, 1.0))
    assert np.isnan(psf_fwhm(nothing))
    assert np.isnan(psf_ellipticity(nothing))
    FigureCanvasAgg(psf_field(nothing)).draw()


def test_the_figure_shows_width_and_ellipticity() -> None:
    figure = psf_field(elongated())
    FigureCanvasAgg(figure).draw()
    left, right, *_ = figure.axes
    assert "places of the field" in left.get_title()
    assert "largest 0.059" in right.get_title()
    assert len(left.images) == len(right.images) == 1
