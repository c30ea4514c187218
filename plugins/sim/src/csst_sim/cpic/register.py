"""The multiplying register: gain with its statistics, full well, and tails.

A register of N stages, each of which doubles an electron with probability p, has the gain
``G = (1 + p)^N`` and the excess noise ``F^2 = 2 (G - 1) G^(-(N + 1) / N) + 1 / G`` (Robbins &
Hadwen 2003, IEEE Trans. Electron Devices 50, 1227). The output of n electrons is drawn from the
gamma distribution with that mean and variance, shape ``n / (F^2 - 1)``. For one electron its
survival function is that of the chain of stages within 0.3 % between 0.1 and 2 times the gain
(0.5 % at a gain of 50). The usual gamma law of shape n (Basden, Haniff & Mackay 2003, MNRAS 345,
985) is the limit F^2 = 2; for 604 stages its survival function is off by up to 1.4 % there, and a
gain measured from its slope by 1 to 2 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from csstcore.api import compiled


@dataclass(frozen=True)
class Register:
    """A multiplying register at work."""

    em_gain: float
    stages: int | None
    """None: the gamma law, the limit of many stages."""
    full_well: float
    """At the output; infinite for none."""
    tail_threshold: float
    tail_fraction: float
    tail_pixel: float
    serial_cic: float
    """Electrons born per packet, at any stage alike."""

    def relative_variance(self, gain: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return variance / gain^2 of one electron's output, ``F^2 - 1``.

        Parameters
        ----------
        gain
            Of all stages that the electron passes, above 1.
        """
        gain = np.asarray(gain, float)
        if self.stages is None:
            return np.ones_like(gain)
        doubling = self.em_gain ** (1 / self.stages)
        return np.asarray((1 - 1 / gain) * (2 / doubling - 1))


@compiled
def _multiply(
    charge: NDArray[np.float32], gain: float, variance: float, rng: np.random.Generator
) -> None:
    """Draw the output of every packet, in place."""
    scale = gain * variance
    for here in range(len(charge)):
        electrons = charge[here]
        if electrons > 0.0:
            charge[here] = scale * rng.standard_gamma(electrons / variance)


@compiled
def _hold_back(
    charge: NDArray[np.float32],
    particles: NDArray[np.float32],
    tail: NDArray[np.float32],
    full_well: float,
    threshold: float,
    fraction: float,
    release: float,
) -> None:
    """Pass packets through full well and traps; `tail` gets what came of particles before."""
    spilled, held = 0.0, 0.0
    part_of_spilled, part_of_held = 0.0, 0.0
    freed = 1.0 - np.exp(-1.0 / release)
    for here in range(len(charge)):
        if spilled == 0.0 and held < 0.01:
            held = 0.0
            if charge[here] <= threshold:
                continue
        out = held * freed
        held -= out
        packet = charge[here] + spilled + out
        tail[here] = part_of_spilled * spilled + part_of_held * out
        part = (particles[here] * charge[here] + tail[here]) / packet if packet > 0.0 else 0.0
        kept = min(packet, full_well)
        spilled, part_of_spilled = packet - kept, part
        caught = fraction * max(kept - threshold, 0.0)
        if caught > 0.0:
            part_of_held = (part_of_held * held + part * caught) / (held + caught)
            held += caught
        charge[here] = kept - caught


def multiply(
    charge: NDArray[np.float32],
    particles: NDArray[np.float32],
    register: Register,
    rng: Generator,
) -> NDArray[np.float32]:
    """Turn electrons into output electrons, in place, in the order of reading.

    Charge beyond the full well flows into the packets behind; a small part of large packets
    is held back and comes out exponentially. Both run on into the next row.

    Parameters
    ----------
    charge
        Whole electrons at the register's input, raw frame.
    particles
        Part of each packet that particles left, 0 to 1.
    register
        Its properties.
    rng
        Random numbers.

    Returns
    -------
    tail
        Output electrons in each pixel that particles left in packets before it.
    """
    stream = charge.reshape(-1)
    born = np.flatnonzero(rng.random(stream.size, np.float32) < register.serial_cic)
    if register.em_gain > 1:
        gain = register.em_gain ** (1 - rng.random(len(born)))
        variance = register.relative_variance(gain)
        _multiply(
            stream, register.em_gain, float(register.relative_variance(register.em_gain)), rng
        )
        stream[born] += (gain * variance * rng.standard_gamma(1 / variance)).astype(np.float32)
    else:
        stream[born] += 1.0
    tail = np.zeros_like(charge)
    _hold_back(
        stream, particles.reshape(-1), tail.reshape(-1), register.full_well,
        register.tail_threshold, register.tail_fraction, register.tail_pixel,
    )  # fmt: skip
    return tail
