"""What several tests need."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.resources import files

import pytest

from csst_cpic.detector import Detector


@pytest.fixture(scope="session")
def shipped() -> Callable[[str], Detector]:
    """The detector shipped for a raw format."""

    def load(readout: str) -> Detector:
        path = files("csst_cpic") / f"references/detector_{readout}.toml"
        return Detector(**tomllib.loads(path.read_text()))

    return load


@pytest.fixture(scope="session")
def detector(shipped: Callable[[str], Detector]) -> Detector:
    """The detector of the small format."""
    return shipped("176x136")
