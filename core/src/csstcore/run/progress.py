"""How a run goes, on the terminal: one moving line, or plain lines where nobody watches."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import IO

from csstcore.run.request import JobSummary
from csstcore.run.status import Status


@dataclass
class TerminalProgress:
    """Writes to standard error, so that standard output stays for results."""

    stream: IO[str] = field(default_factory=lambda: sys.stderr)
    _total: int = 0
    _ended: int = 0
    _failed: int = 0
    _start: float = 0.0

    def start(self, total: int, kept: int) -> None:
        """Begin."""
        self._total, self._start = total, time.monotonic()
        note = f", {kept} unchanged" if kept else ""
        self._line(f"{total} jobs to run{note}")
        self._bar()

    def ended(self, job: JobSummary) -> None:
        """Count a job; a failed one, or without a terminal every one, gets a line."""
        self._ended += 1
        self._failed += job.status is Status.FAILED
        if job.status is Status.FAILED or not self._watched:
            why = f": {' '.join(job.why.split())}" if job.why else ""
            self._line(f"[{self._ended}/{self._total}] {job.job}: {job.status}{why}")
        self._bar()

    def finish(self) -> None:
        """Leave the line."""
        if self._watched:
            self._clear()

    @property
    def _watched(self) -> bool:
        return self.stream.isatty()

    def _bar(self) -> None:
        if not self._watched or not self._total:
            return
        width = 30
        filled = width * self._ended // self._total
        elapsed = time.monotonic() - self._start
        left = elapsed / self._ended * (self._total - self._ended) if self._ended else 0.0
        text = f"[{'#' * filled}{'.' * (width - filled)}] {self._ended}/{self._total}"
        text += f"  {self._failed} failed" if self._failed else ""
        text += f"  {duration(left)} left" if left else ""
        columns = shutil.get_terminal_size().columns
        self.stream.write(f"\r\x1b[K{text[: columns - 1]}")
        self.stream.flush()

    def _clear(self) -> None:
        self.stream.write("\r\x1b[K")
        self.stream.flush()

    def _line(self, text: str) -> None:
        if self._watched:
            self._clear()
        self.stream.write(f"{text}\n")
        self.stream.flush()


def duration(seconds: float) -> str:
    """Return a time span as people write it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
