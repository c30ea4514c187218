"""What csst-calib declares."""

from __future__ import annotations
