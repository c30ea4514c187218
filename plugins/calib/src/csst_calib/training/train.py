"""The training loop."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from csst_calib.cosmic_rays.normalise import measure_background, scale
from csst_calib.training.network import CosmicRayNetwork
from csst_calib.training.patches import Patch, draw_settings, make_patch

LABEL_ELECTRON = 3.0
"""A pixel is a cosmic-ray pixel when particles left more than this."""
TRACE_ELECTRON = 0.1
TRACE_WEIGHT = 0.3
"""Pixels between the two deposits count as empty with this weight: flagging them does little
harm, and how much of them is right depends on the use."""
RATE_RANGE = (0.5, 8.0)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that the result depends on, beside the code and torch's version."""

    steps: int = 3600
    batch: int = 8
    patch_pixel: int = 160
    learning_rate: float = 3e-3
    seed: int = 20270101


def train(settings: TrainingSettings, *, every: int = 50) -> CosmicRayNetwork:
    """Train a network on patches made on the fly; no patch is seen twice.

    Parameters
    ----------
    settings
        Length, sizes and seed.
    every
        Print the loss every so many steps.

    Returns
    -------
    CosmicRayNetwork
        The trained network.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    network = CosmicRayNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.steps, pct_start=0.1
    )
    losses = []
    for step in range(1, settings.steps + 1):
        scaled, label, weight = draw_batch(settings, rng)
        optimiser.zero_grad(set_to_none=True)
        logit = network(torch.from_numpy(scaled))
        loss = binary_cross_entropy_with_logits(
            logit, torch.from_numpy(label), torch.from_numpy(weight)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % every == 0:
            mean = float(np.mean(losses[-every:]))
            print(f"step {step} of {settings.steps}: loss {mean:.5f}", file=sys.stderr, flush=True)
    network.eval()
    return network


def draw_batch(
    settings: TrainingSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return scaled pixels, labels and weights, each of shape (batch, 1, side, side)."""
    planes = [
        sample(make_patch(draw_settings(rng, rate=RATE_RANGE), settings.patch_pixel, rng))
        for _ in range(settings.batch)
    ]
    scaled, label, weight = (np.stack(plane)[:, None] for plane in zip(*planes, strict=True))
    return scaled, label, weight


def sample(
    patch: Patch,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return scaled pixels, label and weight of one patch."""
    size = len(patch.electron)
    window = slice(0, size)
    level, noise = measure_background(patch.electron, cell=size).at(window, window)
    label = (patch.deposit > LABEL_ELECTRON).astype(np.float32)
    weight = np.ones_like(label)
    weight[(patch.deposit > TRACE_ELECTRON) & (patch.deposit <= LABEL_ELECTRON)] = TRACE_WEIGHT
    weight[patch.hot] = 0
    return scale(patch.electron, level, noise), label, weight


def described(settings: TrainingSettings) -> dict[str, int | float]:
    """Return every setting by name, for the model's metadata."""
    return {
        **asdict(settings),
        "label_electron": LABEL_ELECTRON,
        "trace_electron": TRACE_ELECTRON,
        "trace_weight": TRACE_WEIGHT,
        "rate_minimum": RATE_RANGE[0],
        "rate_maximum": RATE_RANGE[1],
    }
