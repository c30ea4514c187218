"""Worker processes on this machine: one job at a time each, spawned afresh.

`concurrent.futures` gives up the whole pool when one process dies; here a dead worker
fails only its own job and is replaced. When the parent dies its workers end: the kernel
signals them (Linux), and elsewhere they notice that their pipe has closed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, cast

from csstcore.run.executor import Outcome, Task

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Stages share their work among threads by `csstcore.threads.each`; threads of BLAS inside of
those wait for each other, and spin meanwhile."""
_GRACE_S = 10.0
"""For a process that has closed its pipe to end by itself, so that its status is its own."""
_START = "from csstcore.run.worker import main; main()"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    lifeline: int
    """Write end of a pipe that the worker watches; closed when this process ends."""
    task: Task | None = None

    def end(self, grace_s: float = 0.0) -> int:
        """Return the exit status; a process that still runs after the grace is killed."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        self.process.kill()
        status = self.process.wait()
        self.connection.close()
        os.close(self.lifeline)
        return status


@dataclass
class ProcessPool:
    """Executes tasks in `jobs` worker processes."""

    jobs: int
    log: Path
    """File for what workers print."""
    _workers: list[_Worker] = field(default_factory=list)

    def run(self, setup: str, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Execute all tasks; outcomes come as tasks end."""
        waiting = iter(tasks)
        try:
            while True:
                self._feed(setup, waiting)
                busy = {w.connection: w for w in self._workers if w.task is not None}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    yield self._collect(busy[cast("Connection", connection)])
        finally:
            self.kill()

    def kill(self) -> None:
        """End all workers at once."""
        while self._workers:
            self._workers.pop().end()
        if self.log.is_file() and not self.log.stat().st_size:
            self.log.unlink()

    def _feed(self, setup: str, waiting: Iterator[Task]) -> None:
        """Give every idle worker a task, starting workers as long as there are tasks."""
        idle = [worker for worker in self._workers if worker.task is None]
        while idle or len(self._workers) < self.jobs:
            task = next(waiting, None)
            if task is None:
                return
            worker = idle.pop() if idle else self._start(setup)
            worker.task = task
            try:
                worker.connection.send_bytes(task.payload.encode())
            except OSError:
                continue  # It died idle; its closed pipe is seen at once by wait().

    def _collect(self, worker: _Worker) -> Outcome:
        task = cast("Task", worker.task)
        try:
            result = worker.connection.recv_bytes().decode()
        except (EOFError, OSError):
            self._workers.remove(worker)
            return Outcome(task.name, "", self._cause(worker.end(_GRACE_S)))
        worker.task = None
        return Outcome(task.name, result)

    def _cause(self, status: int) -> str:
        if status < 0:
            hint = ", out of memory?" if -status == signal.SIGKILL else ""
            return f"worker died (signal {-status}{hint})"
        printed = self.log.is_file() and self.log.stat().st_size > 0
        where = f"; what workers printed is in {self.log.name}" if printed else ""
        return f"worker died (exit status {status}{where})"

    def _start(self, setup: str) -> _Worker:
        ours, theirs = _pipe()
        watched, lifeline = os.pipe()
        with self.log.open("ab") as output:
            process = self._spawn(theirs.fileno(), watched, output)
        theirs.close()
        os.close(watched)
        worker = _Worker(process, ours, lifeline)
        self._workers.append(worker)
        with suppress(OSError):  # Seen as a dead worker when its first task is collected.
            ours.send_bytes(setup.encode())
        return worker

    def _spawn(self, connection: int, watched: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
        threads = max(1, cores() // self.jobs)
        environment = {
            # A heap for every thread keeps planes that others have freed: 0.1 GB a job.
            "MALLOC_ARENA_MAX": "2",
            **os.environ,
            **{name: _capped(os.environ.get(name, ""), threads) for name in _THREAD_VARIABLES},
            **dict.fromkeys(_BLAS_VARIABLES, "1"),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(connection), str(watched), str(os.getpid())],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(connection, watched),
            process_group=0,  # Ctrl-C reaches the parent only, which decides.
        )


def _capped(given: str, threads: int) -> str:
    """Return the number of threads the user set, but no more than the machine can serve."""
    return str(min(int(given), threads) if given.isdecimal() and int(given) else threads)


def _pipe() -> tuple[Connection, Connection]:
    from multiprocessing import Pipe

    ours, theirs = Pipe(duplex=True)
    return ours, theirs
