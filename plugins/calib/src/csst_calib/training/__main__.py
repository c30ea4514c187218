"""``python -m csst_calib.training``: train, calibrate, export."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from csst_calib.training.calibrate import calibrate
from csst_calib.training.export import export
from csst_calib.training.train import TrainingSettings, train


def main() -> None:
    """Run from the command line."""
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(
        prog="python -m csst_calib.training",
        description="Train the cosmic-ray network on simulated patches and write it as ONNX.",
    )
    parser.add_argument("--output", type=Path, required=True, help="ONNX file to write")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="training steps")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="seed of everything")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = TrainingSettings(steps=arguments.steps, seed=arguments.seed)
    network = train(settings)
    calibration = calibrate(network, seed=settings.seed + 1)
    export(network, calibration, settings, arguments.output)
    print(f"{arguments.output}: {calibration}")


if __name__ == "__main__":
    main()
