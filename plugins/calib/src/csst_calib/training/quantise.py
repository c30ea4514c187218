"""Matrices of a patch network in whole numbers of 8 bits: three times as fast.

Weights take 7 bits and a scale for each output, so that no processor's 16-bit sums overflow and
all give the same result; what goes into a matrix takes 8 bits with the range that patches of
simulated fields showed. The last layer, whose sum is the logit, stays as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

Inputs = dict[str, NDArray[np.float32]]


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    def __init__(self, samples: Iterable[Inputs]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> Inputs | None:
        return next(self._samples, None)


def quantise(path: Path, samples: Iterable[Inputs]) -> None:
    """Replace the matrices of a network by whole numbers, in place.

    Parameters
    ----------
    path
        ONNX file.
    samples
        Inputs by name, for the ranges.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        matrices = [node for node in onnx.load(prepared).graph.node if node.op_type == "Gemm"]
        last = matrices[-1].input[1]
        quantize_static(
            str(prepared),
            str(path),
            _Reader(samples),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_quantize=[node.name for node in matrices if node.input[1] != last],
        )


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a file by name, as single-precision numbers."""
    tensors = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer
    }
    weights = {}
    for name, values in tensors.items():
        short = name.removesuffix("_quantized")
        scale = tensors.get(f"{short}_scale", tensors.get(f"{name}_scale", np.float32(1)))
        if name.endswith("_quantized"):
            values = (values.T * scale).T
        weights[short] = np.array(values, np.float32)
    return weights
