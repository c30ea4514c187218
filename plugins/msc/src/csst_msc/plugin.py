"""What csst-msc declares."""

from __future__ import annotations
