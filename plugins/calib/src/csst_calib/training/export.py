"""The network as an ONNX file that says how to use it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from csst_calib.cosmic_rays.network import NORMALISATION
from csst_calib.training.network import PATCH_PIXEL, PatchNetwork

OPSET = 17
OUTPUT = "probability"


def export(network: nn.Module, path: Path) -> None:
    """Write the network with a sigmoid behind it, and what is needed to feed it.

    A patch network takes ``patch`` (pixels, side, side) and ``noise_electron`` (pixels, 1) and
    gives ``probability`` (pixels); another takes ``scaled`` (batch, 1, rows, columns) and gives
    ``probability`` of the same shape.

    Parameters
    ----------
    network
        Trained network.
    path
        File to write.
    """
    if isinstance(network, PatchNetwork):
        example: tuple[torch.Tensor, ...] = (
            torch.zeros(2, PATCH_PIXEL, PATCH_PIXEL),
            torch.ones(2, 1),
        )
        names = ["patch", "noise_electron"]
        axes = {0: "pixels"}
    else:
        example = (torch.zeros(1, 1, 64, 64),)
        names = ["scaled"]
        axes = {0: "batch", 2: "rows", 3: "columns"}
    with warnings.catch_warnings():
        # The newer exporter wants one more package and gives a larger graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _WithSigmoid(network).eval(),
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=[OUTPUT],
            dynamic_axes=dict.fromkeys([*names, OUTPUT], axes),
        )
    describe(
        path,
        {
            "normalisation": NORMALISATION,
            "receptive_field_pixel": str(network.receptive_field_pixel),
            "torch": torch.__version__,
        },
    )


def describe(path: Path, properties: dict[str, str]) -> None:
    """Add metadata properties to a file; those it has already stay, unless they are given."""
    model = onnx.load(path)
    known = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, known | properties)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Take the weights of a network from a file that `export` wrote.

    Raises
    ------
    ValueError
        If the file holds another architecture.
    """
    stored = {
        tensor.name.removeprefix("network."): np.array(numpy_helper.to_array(tensor), np.float32)
        for tensor in onnx.load(path).graph.initializer
    }
    wanted = network.state_dict()
    wrong = [
        name
        for name, values in wanted.items()
        if name not in stored or stored[name].shape != tuple(values.shape)
    ]
    if wrong:
        raise ValueError(f"{path}: no network of this architecture: {', '.join(wrong)}")
    network.load_state_dict({name: torch.from_numpy(stored[name]) for name in wanted})


class _WithSigmoid(nn.Module):  # type: ignore[misc]  # torch comes with the extra only
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.network(*inputs))
