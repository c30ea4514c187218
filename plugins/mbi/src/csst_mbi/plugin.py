"""What csst-mbi declares."""

from __future__ import annotations
