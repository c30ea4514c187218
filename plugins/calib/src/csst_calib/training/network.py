"""The networks that can be trained: one for patches, and deepCR's for images."""

from __future__ import annotations

import warnings
from itertools import pairwise
from math import log

import torch
from torch import nn
from torch.nn.utils import remove_weight_norm

PATCH_PIXEL = 13
HIDDEN = (512, 288, 96)
TYPICAL_NOISE_ELECTRON = 7.0


class PatchNetwork(nn.Module):  # type: ignore[misc]  # torch comes with the extra only
    """Scaled pixels around a candidate to the logit of its holding charge of a particle.

    Layers that are fully connected: only candidates are judged, a few in a hundred pixels, so
    that 260,000 multiplications for each cost less than 4,000 for every pixel, and matrices
    multiply faster than anything else.
    """

    receptive_field_pixel = PATCH_PIXEL // 2

    def __init__(self) -> None:
        super().__init__()
        sizes = (PATCH_PIXEL**2 + 1, *HIDDEN, 1)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layer = nn.Linear(inputs, outputs)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, patch: torch.Tensor, noise_electron: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n,), of patches (n, side, side) with their noise (n, 1)."""
        logit: torch.Tensor = self.layers(joined(patch, noise_electron))[:, 0]
        return logit


def joined(patch: torch.Tensor, noise_electron: torch.Tensor) -> torch.Tensor:
    """Return what the first layer takes: the pixels, and the logarithm of their noise."""
    noise = torch.log(noise_electron) - log(TYPICAL_NOISE_ELECTRON)
    return torch.cat([patch.flatten(1), noise], 1)


class ImageNetwork(nn.Module):  # type: ignore[misc]
    """deepCR's network (Zhang & Bloom 2020, ApJ 889, 24): every pixel of an image at once."""

    receptive_field_pixel = 10

    def __init__(self) -> None:
        super().__init__()
        from deepCR.unet import UNet2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, about deepCR's layers
            self.layers = UNet2(1, 1, 32)
        for module in self.layers.modules():
            if hasattr(module, "weight_g"):  # a network with normalised weights cannot be copied
                remove_weight_norm(module)
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (batch, 1, rows, columns); rows and columns divisible by two."""
        logit: torch.Tensor = self.layers(scaled)
        return logit


NETWORKS: dict[str, type[nn.Module]] = {"patch": PatchNetwork, "deepcr": ImageNetwork}
