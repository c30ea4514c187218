"""What csst-sim declares."""

from __future__ import annotations
