"""What a coronagraph simulation may leave out."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CpicEffects:
    """What is simulated; everything by default."""

    dark: bool = True
    cic: bool = True
    serial_cic: bool = True
    flat: bool = True
    cosmic_rays: bool = True
    blooming: bool = True
    """Full well of the pixels."""
    charge_transfer: bool = True
    em_gain_error: bool = True
    stage_statistics: bool = True
    """Excess noise of a register of finite stages; without it, the gamma law of many."""
    register_tails: bool = True
    """Full well of the register, and charge that it holds back."""
    nonlinearity: bool = True
    bias_structure: bool = True
    """Drift, stripes and fixed pattern."""
    read_noise: bool = True
    speckle_drift: bool = True
    jitter: bool = True
    """Of the star, and its offset from the commanded position."""
