"""One JSON log per job, collected only while the job runs."""

from __future__ import annotations

import json
import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class JobLog(logging.Handler):
    """Writes log records as JSON lines, each with the stage and element that was running."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self.where: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            line: dict[str, Any] = {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "level": record.levelname.lower(),
                "logger": record.name,
                **self.where,
                "message": record.getMessage(),
            }
            if record.exc_info and record.exc_info[1] is not None:
                line["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextmanager
def job_log(path: Path) -> Iterator[JobLog]:
    """Collect what stages log and warn into `path` while the block runs.

    The handler is taken away and the level put back at the end: a host program's logging
    is as it was.
    """
    log = JobLog(path)
    root = logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(min(level, logging.INFO))

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        logging.getLogger("warnings").warning("%s: %s", category.__name__, message)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield log
    finally:
        root.removeHandler(log)
        root.setLevel(level)
        log.close()


def last_stage(path: Path) -> str:
    """Return the stage that a log of a dead job named last, or an empty string."""
    stage = ""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            stage = json.loads(line).get("stage", stage)
    except (OSError, ValueError):
        pass
    return stage
