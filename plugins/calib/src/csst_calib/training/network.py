"""The network: a small U-Net of the deepCR kind, with sums for skips.

After deepCR (Zhang & Bloom 2020, ApJ 889, 24), with 16, 32 and 48 channels on three levels.
Skips are added and not concatenated, and the full-resolution level has one convolution on
each side: 11,000 multiplications per pixel instead of deepCR's 53,000.
"""

from __future__ import annotations

import torch
from torch import nn

CHANNELS = (16, 32, 48)
RECEPTIVE_FIELD_PIXEL = 24
"""A pixel's result depends on nothing farther away than this; a multiple of the four pixels
to which tiles are aligned. Held by a test."""


class CosmicRayNetwork(nn.Module):  # type: ignore[misc]  # torch comes with the extra only
    """Scaled pixels to the logit of holding charge of a cosmic ray."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = CHANNELS
        self.enter = _convolution(1, fine)
        self.down = nn.Sequential(
            nn.MaxPool2d(2), _convolution(fine, middle), _convolution(middle, middle)
        )
        self.bottom = nn.Sequential(
            nn.MaxPool2d(2),
            _convolution(middle, coarse),
            _convolution(coarse, coarse),
            nn.Conv2d(coarse, middle, 1),
            nn.Upsample(scale_factor=2),
        )
        self.up = nn.Sequential(
            _convolution(middle, middle), nn.Conv2d(middle, fine, 1), nn.Upsample(scale_factor=2)
        )
        self.leave = nn.Sequential(_convolution(fine, fine), nn.Conv2d(fine, 1, 1))

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (batch, 1, rows, columns); rows and columns divisible by four."""
        fine = self.enter(scaled)
        middle = self.down(fine)
        middle = self.up(self.bottom(middle) + middle)
        logit: torch.Tensor = self.leave(middle + fine)
        return logit


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return nn.Sequential(layer, nn.ReLU())
