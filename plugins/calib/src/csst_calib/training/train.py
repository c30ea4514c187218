"""The training loop."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from csst_calib.training.domain import Domain
from csst_calib.training.network import PATCH_PIXEL, PatchNetwork
from csst_calib.training.samples import Pool, crops, patches

RATE_FACTOR = 4.0
"""Fields to train on have up to this many times the domain's rate: more hits for the time."""
WARM_UP_STEPS = 200

Report = Callable[[int, float, nn.Module], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Everything that the result depends on, beside the domain, the code and torch's version."""

    steps: int = 45_000
    falling_steps: int = 15_000
    """During so many steps at the end the learning rate falls to zero."""
    fields: int = 40
    """Simulated fields held at a time."""
    batch: int = 4096
    """Patches, or crops of an image, in a step."""
    learning_rate: float = 2e-3
    averaged_steps: int = 500
    """Memory of the running mean of the weights, which is the result."""
    seed: int = 20270601


def train(
    network: nn.Module,
    domain: Domain,
    settings: TrainingSettings,
    report: Report | None = None,
    *,
    every: int = 200,
) -> nn.Module:
    """Train a network on fields made on the fly.

    Multiplications are in bfloat16, weights in float32.

    Parameters
    ----------
    network
        The network to begin with; left as it is.
    domain
        What is simulated.
    settings
        Length, sizes and seed.
    report
        Called with the step, the mean loss since the last call and the mean network.
    every
        Steps from one report to the next.

    Returns
    -------
    torch.nn.Module
        The running mean of the trained network.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    denser = replace(domain, rate=(domain.rate[0], RATE_FACTOR * domain.rate[1]))
    pool = Pool(denser, settings.fields, rng)
    if isinstance(network, PatchNetwork):
        batches = patches(pool, PATCH_PIXEL, settings.batch, rng)
    else:
        batches = crops(pool, settings.batch, rng)
    network = copy.deepcopy(network).train()
    mean = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    losses = []
    for step, arrays in zip(range(1, settings.steps + 1), batches, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(settings, step)
        *inputs, label, weight = map(torch.from_numpy, arrays)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logit = network(*inputs)
        loss = binary_cross_entropy_with_logits(logit.float(), label, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        _average(mean, network, 1 / min(settings.averaged_steps, step))
        if step % every == 0 and report is not None:
            report(step, float(np.mean(losses[-every:])), mean)
    return mean.eval()


def print_loss(step: int, loss: float, _: nn.Module) -> None:
    """Print the mean loss of the last steps."""
    print(f"step {step}: loss {loss:.5f}", file=sys.stderr, flush=True)


def _learning_rate(settings: TrainingSettings, step: int) -> float:
    """Return a rate that rises, stays, and falls to zero at the end."""
    rise = min(1.0, step / WARM_UP_STEPS)
    fall = min(1.0, (settings.steps - step + 1) / settings.falling_steps)
    return settings.learning_rate * rise * fall


def _average(mean: nn.Module, network: nn.Module, weight: float) -> None:
    with torch.no_grad():
        for kept, new in zip(mean.parameters(), network.parameters(), strict=True):
            kept.lerp_(new, weight)
        for kept, new in zip(mean.buffers(), network.buffers(), strict=True):
            kept.copy_(new)
