"""The worker process: reads jobs from a pipe and executes them one by one."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve the pipe named on the command line until it closes."""
    connection, lifeline, parent = (int(argument) for argument in sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    die_with_parent(lifeline, parent)
    serve(Connection(connection))


def die_with_parent(lifeline: int, parent: int) -> None:
    """End this process when the parent ends, by kernel signal and by a closed pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def serve(connection: Connection) -> None:
    """Take the setup, then execute each payload and answer with its result."""
    try:
        setup = connection.recv_bytes().decode()
        while True:
            connection.send_bytes(execute(setup, connection.recv_bytes().decode()).encode())
    except (EOFError, OSError):
        return


def execute(setup: str, payload: str) -> str:
    """Execute one job in this process.

    Parameters
    ----------
    setup
        JSON of `csstcore.run.environment.Setup`: what all jobs of a run share.
    payload
        JSON of `csstcore.run.jobs.Job`.

    Returns
    -------
    str
        JSON of the `csstcore.run.record.JobRecord`, which is also on disk by then.
    """
    from csstcore.run.environment import environment_of
    from csstcore.run.execute import run_job
    from csstcore.run.jobs import Job
    from csstcore.run.record import to_json

    return to_json(run_job(environment_of(setup), Job.from_json(payload))).decode()
