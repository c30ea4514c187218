"""The threshold, and what it gives on patches the network has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from csst_calib.training.network import CosmicRayNetwork
from csst_calib.training.patches import draw_settings, make_patch
from csst_calib.training.train import LABEL_ELECTRON, TRACE_ELECTRON, sample

PATCHES = 300
PATCH_PIXEL = 256
RATE_RANGE = (0.5, 4.0)
PURITY = 0.985
"""Share of flagged pixels that particles left charge in, at the chosen threshold."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold on the probability, with its figures on held-out patches."""

    threshold: float
    recall: float
    """Share of pixels above 3 e- that are flagged."""
    recall_three_sigma: float
    """Share of pixels above three times the local noise that are flagged."""
    purity: float
    """Share of flagged pixels with a deposit above 0.1 e-."""


def calibrate(network: CosmicRayNetwork, *, seed: int, patches: int = PATCHES) -> Calibration:
    """Choose the lowest threshold that keeps `PURITY` on held-out patches.

    Parameters
    ----------
    network
        A trained network.
    seed
        Seed of the patches; must differ from that of the training.
    patches
        Number of patches.

    Returns
    -------
    Calibration
        Threshold and figures.
    """
    rng = np.random.default_rng(seed)
    probability, deposit, sigma = [], [], []
    for _ in range(patches):
        patch = make_patch(draw_settings(rng, rate=RATE_RANGE), PATCH_PIXEL, rng)
        scaled, _, _ = sample(patch)
        with torch.no_grad():
            logit = network(torch.from_numpy(scaled)[None, None])[0, 0]
        judged = ~patch.hot
        probability.append(torch.sigmoid(logit).numpy()[judged])
        deposit.append(patch.deposit[judged])
        # Shot noise of the sources counts as noise: what is left without the deposit.
        signal = np.maximum(patch.electron[judged] - patch.deposit[judged], 0)
        sigma.append(np.sqrt(signal + patch.read_noise_electron**2))
    return choose(*(np.concatenate(values) for values in (probability, deposit, sigma)))


def choose(
    probability: NDArray[np.float32], deposit: NDArray[np.float32], sigma: NDArray[np.float32]
) -> Calibration:
    """Choose the lowest threshold at which a share `PURITY` of the flagged pixels are hit."""
    order = np.argsort(-probability)[: int(np.sum(probability > 0.02))]
    purity = np.cumsum(deposit[order] > TRACE_ELECTRON) / np.arange(1, len(order) + 1)
    last = int(np.flatnonzero(purity >= PURITY)[-1])
    threshold = float(probability[order[last]])
    flagged = probability >= threshold
    return Calibration(
        threshold=threshold,
        recall=float(flagged[deposit > LABEL_ELECTRON].mean()),
        recall_three_sigma=float(flagged[deposit > 3 * sigma].mean()),
        purity=float((deposit[flagged] > TRACE_ELECTRON).mean()),
    )
