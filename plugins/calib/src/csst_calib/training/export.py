"""The network as an ONNX file that says how to use it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from torch import nn

from csst_calib.training.calibrate import Calibration
from csst_calib.training.network import RECEPTIVE_FIELD_PIXEL, CosmicRayNetwork
from csst_calib.training.train import TrainingSettings, described

OPSET = 17
INPUT = "scaled"
OUTPUT = "probability"


def export(
    network: CosmicRayNetwork,
    calibration: Calibration,
    settings: TrainingSettings,
    path: Path,
) -> None:
    """Write the network with a sigmoid behind it, any height and width, and its properties.

    Parameters
    ----------
    network
        Trained network.
    calibration
        Threshold and figures.
    settings
        Training settings; written as JSON with their sha256.
    path
        File to write.
    """
    axes = {0: "batch", 2: "rows", 3: "columns"}
    torch.onnx.export(
        nn.Sequential(network, nn.Sigmoid()).eval(),
        (torch.zeros(1, 1, 64, 64),),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: axes, OUTPUT: axes},
    )
    model = onnx.load(path)
    training = json.dumps(described(settings), sort_keys=True)
    onnx.helper.set_model_props(
        model,
        {
            **{name: f"{value:.6g}" for name, value in asdict(calibration).items()},
            "input": INPUT,
            "normalisation": "asinh((pixel - background) / noise)",
            "receptive_field_pixel": str(RECEPTIVE_FIELD_PIXEL),
            "training": training,
            "training_sha256": hashlib.sha256(training.encode()).hexdigest(),
            "torch": torch.__version__,
        },
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
