"""`Onnx`: a trained network as a reference, run by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(slots=True, eq=False)
class Onnx:
    """A network in a file; opened only when a stage asks for a session."""

    path: Path
    properties: dict[str, str] = field(default_factory=dict)
    """The model's metadata properties, e.g. its calibrated threshold."""

    def session(self, threads: int = 0) -> InferenceSession:
        """Open the network on the CPU.

        Parameters
        ----------
        threads
            Threads inside one operator; 0 takes as many as this process may use.
        """
        import os

        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or int(
            os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))
        )
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )
