"""How many threads a stage may use."""

from __future__ import annotations

import os


def allowed_threads() -> int:
    """Return how many threads this process may use."""
    return int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
