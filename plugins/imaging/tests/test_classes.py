"""`classify`: point sources and extended ones."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import QTable

from csst_imaging.photometry.classes import GALAXY, STAR, UNKNOWN, classify


def table(spread, error, flags=0):
    return QTable({"spread_model": [spread], "spread_model_error": [error], "flags": [flags]})


@pytest.mark.parametrize(
    ("spread", "error", "kind"),
    [
        (0.0, 0.001, STAR),
        (0.02, 0.002, GALAXY),
        (0.004, 0.0002, GALAXY),
        (0.008, 0.004, UNKNOWN),
        (-0.01, 0.001, UNKNOWN),
        (np.nan, np.nan, UNKNOWN),
    ],
)
def test_spread_model_and_its_error_decide(spread, error, kind):
    assert classify(table(spread, error))[0] == kind


def test_saturated_source_is_not_told():
    assert classify(table(0.0, 0.001, flags=4))[0] == UNKNOWN


def test_width_decides_where_there_is_no_psf(field):
    kind = np.asarray(field.catalog.table["type"])[field.nearest]
    bright = field.flux > 1e4
    assert np.mean(kind[bright] == STAR) > 0.9
    wide = QTable(field.sources.table, copy=True)
    wide["fwhm"][::3] *= 1.8
    kind = classify(wide)
    sharp = np.asarray(wide["flux_isophotal"] / wide["flux_isophotal_error"]) > 30
    assert (kind[::3][sharp[::3]] == GALAXY).all()
