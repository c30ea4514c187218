"""Figures draw without a display and show what they say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from csst_imaging import figures
from csstcore.api import Image, Table


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def test_preview_shows_data_and_flags(field):
    left, right, *_ = drawn(figures.preview(field.image)).axes
    assert left.get_title() == "data"
    assert right.get_title() == "flagged"


def test_preview_of_an_empty_image_draws():
    drawn(figures.preview(Image(np.full((5, 5), np.nan, np.float32))))


@pytest.mark.parametrize("figure", [figures.source_map, figures.growth_curves])
def test_catalogue_figures_draw(field, figure):
    axes = drawn(figure(field.catalog)).axes
    assert axes[0].lines


def test_growth_curves_without_stars_draw(field):
    drawn(figures.growth_curves(Table(field.catalog.table[:0])))
