"""What csst-imaging declares."""

from __future__ import annotations
