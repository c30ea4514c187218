"""The network as an ONNX file that says how to use it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import onnx
import torch
from torch import nn

from csst_calib.cosmic_rays.network import NORMALISATION
from csst_calib.training.network import PATCH_PIXEL, PatchNetwork, joined
from csst_calib.training.quantise import Inputs, quantise, read_weights

OPSET = 17
OUTPUT = "probability"
DOUBT_LOGIT = (-2.0, 6.0)
"""Between these, one view of a patch is not enough."""


def export(network: nn.Module, path: Path, samples: Iterable[Inputs]) -> None:
    """Write the network with a sigmoid behind it, and what is needed to feed it.

    A patch network takes ``patch`` (pixels, side, side) and ``noise_electron`` (pixels, 1) and
    gives ``probability`` (pixels); where one view of a patch leaves a doubt it averages the logits
    of eight, and it has its matrices in whole numbers. Another network takes ``scaled`` (batch,
    1, rows, columns) and gives ``probability`` of the same shape.

    Parameters
    ----------
    network
        Trained network.
    path
        File to write.
    samples
        Inputs of a patch network by name; from them come the ranges of the whole numbers.
    """
    judged_by_patches = isinstance(network, PatchNetwork)
    if judged_by_patches:
        _write(_OfViews(network), path, ["patch", "noise_electron"], {0: "pixels"})
        quantise(path, samples)
    else:
        _write(_WithSigmoid(network), path, ["scaled"], {0: "batch", 2: "rows", 3: "columns"})
    describe(
        path,
        {
            "normalisation": NORMALISATION,
            "receptive_field_pixel": str(network.receptive_field_pixel),
            "torch": torch.__version__,
        },
    )


def _write(network: nn.Module, path: Path, names: list[str], axes: dict[int, str]) -> None:
    example = {
        "patch": torch.zeros(2, PATCH_PIXEL, PATCH_PIXEL),
        "noise_electron": torch.ones(2, 1),
        "scaled": torch.zeros(1, 1, 64, 64),
    }
    with warnings.catch_warnings():
        # The newer exporter wants one more package and gives a larger graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            tuple(example[name] for name in names),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=[OUTPUT],
            dynamic_axes=dict.fromkeys([*names, OUTPUT], axes),
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
    stored = {name.removeprefix("network."): values for name, values in read_weights(path).items()}
    wanted = network.state_dict()
    wrong = [
        name
        for name, values in wanted.items()
        if name not in stored or stored[name][: len(values)].shape != tuple(values.shape)
    ]
    if wrong:
        raise ValueError(f"{path}: no network of this architecture: {', '.join(wrong)}")
    # A file's first layer has one part for each view; the first part is the network's own.
    network.load_state_dict(
        {name: torch.from_numpy(stored[name][: len(values)]) for name, values in wanted.items()}
    )


class _WithSigmoid(nn.Module):  # type: ignore[misc]  # torch comes with the extra only
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.network(*inputs))


class _OfViews(nn.Module):  # type: ignore[misc]
    """The logit of a patch; where that leaves a doubt, the mean over its eight views.

    A view is the patch turned by quarters of a turn, or mirrored and turned.
    """

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.layers = network.layers
        place = torch.arange(PATCH_PIXEL**2).reshape(PATCH_PIXEL, PATCH_PIXEL)
        turned = [torch.rot90(one, turns) for one in (place, place.T) for turns in range(4)]
        self.views = [view.flatten() for view in turned]

    def forward(self, patch: torch.Tensor, noise_electron: torch.Tensor) -> torch.Tensor:
        values = joined(patch, noise_electron)
        logit = self.layers(values)[:, 0]
        doubtful = torch.nonzero((logit > DOUBT_LOGIT[0]) & (logit < DOUBT_LOGIT[1]))[:, 0]
        chosen = values[doubtful]
        turned = torch.cat([torch.cat([chosen[:, view], chosen[:, -1:]], 1) for view in self.views])
        mean = self.layers(turned).reshape(len(self.views), -1).mean(0)
        return torch.sigmoid(logit.index_put((doubtful,), mean))
