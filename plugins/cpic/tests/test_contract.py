"""The contract that every plugin keeps."""

from __future__ import annotations

from csstcore.testing.contract import *  # noqa: F403

PLUGIN = "cpic"


def examples():
    """A call of every stage."""
    return {}
