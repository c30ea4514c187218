"""``python -m csst_calib.training``: train, export, calibrate."""

from __future__ import annotations

import argparse
import hashlib
import json
import tomllib
from dataclasses import asdict
from pathlib import Path

import torch

from csst_calib.cosmic_rays.network import open_network
from csst_calib.training.calibrate import PURITY, calibrate
from csst_calib.training.domain import Domain, domain_of
from csst_calib.training.export import describe, export, load_weights
from csst_calib.training.network import NETWORKS, PATCH_PIXEL
from csst_calib.training.samples import inputs
from csst_calib.training.train import TrainingSettings, print_loss, train
from csstcore.api import Onnx

SAMPLED_FIELDS = 20


def main() -> None:
    """Run from the command line."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    settings = TrainingSettings(
        steps=arguments.steps,
        falling_steps=arguments.falling_steps,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
    )
    domain = Domain()
    if arguments.camera is not None:
        table = tomllib.loads(arguments.camera.read_text(encoding="utf-8"))
        domain = domain_of(table, arguments.detector)
    network = NETWORKS[arguments.network]()
    started = {}
    if arguments.start is not None:
        load_weights(network, arguments.start)
        started["start_sha256"] = hashlib.sha256(arguments.start.read_bytes()).hexdigest()
    trained = train(network, domain, settings, print_loss)
    samples = inputs(domain, PATCH_PIXEL, SAMPLED_FIELDS, settings.seed + 2)
    export(trained, arguments.output, samples)
    described = {"network": arguments.network, **asdict(settings), "domain": asdict(domain)}
    training = json.dumps(described | started, sort_keys=True)
    describe(arguments.output, {"threshold": "0.5", "training": training})
    opened = open_network(Onnx(arguments.output))
    calibration = calibrate(opened, domain, seed=settings.seed + 1, purity=arguments.purity)
    describe(
        arguments.output, {name: f"{value:.6g}" for name, value in asdict(calibration).items()}
    )
    print(f"{arguments.output}: {calibration}")


def _arguments() -> argparse.Namespace:
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(
        prog="python -m csst_calib.training",
        description="Train a cosmic-ray network on simulated fields and write it as ONNX.",
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="ONNX file to write")
    add("--network", choices=sorted(NETWORKS), default="patch", help="architecture")
    add("--start", type=Path, help="ONNX file whose weights are the first ones (fine tuning)")
    add("--camera", type=Path, help="TOML table of a camera, for its ranges")
    add("--detector", type=int, help="number in that table, for the ranges of one detector")
    add("--steps", type=int, default=defaults.steps, help="training steps")
    add("--falling-steps", type=int, default=defaults.falling_steps, help="steps of slowing down")
    add("--batch", type=int, default=defaults.batch, help="patches, or crops, in a step")
    add("--learning-rate", type=float, default=defaults.learning_rate, help="largest step size")
    add("--seed", type=int, default=defaults.seed, help="seed of everything")
    add("--purity", type=float, default=PURITY, help="share of right flags at the threshold")
    add("--threads", type=int, default=1, help="threads of torch")
    arguments = parser.parse_args()
    if arguments.detector is not None and arguments.camera is None:
        parser.error("--detector needs --camera")
    return arguments


if __name__ == "__main__":
    main()
