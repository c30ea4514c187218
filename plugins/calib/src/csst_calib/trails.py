"""Removal of the trails that traps leave behind packets, along one direction of transfer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csst_calib.traps import REFERENCE_ELECTRON, Traps
from csstcore.api import compiled


def remove_trails(
    packets: NDArray[np.float32], traps: Traps, skipped: int = 0, iterations: int = 3
) -> None:
    """Restore the charge of packets that were moved past traps, in place.

    The forward model: packet n (from 0) has passed ``skipped + n + 1`` pixels, whose traps of
    one species are taken together: it reaches ``(skipped + n + 1) density (q / 1e5)^exponent``
    of them. What is empty of these captures at once, in all species together at most what
    ``q r / (q + r)`` leaves for a wanted number r (so that a packet never loses more than it
    has; the denominator of Short et al. 2013, equation 25); then, while the packet stays,
    traps release ``1 - exp(-1/release)`` of what they hold into it.

    Traps that packet n meets depend on the packets before it only, so the forward model is
    inverted packet by packet: ``q <- measured + captured(q) - released(q)`` (Bristow 2003;
    Anderson & Bedin 2010, PASP 122, 1035), repeated `iterations` times from the measured
    charge. Each repetition shrinks the error by the derivative of what is captured, about
    1e-2 at one electron and less at more.

    Parameters
    ----------
    packets
        Electrons, shape (packets, lines), C-contiguous, the first read first; every line is
        independent.
    traps
        Traps of this channel and direction.
    skipped
        Empty packets read before the first one (prescan).
    iterations
        At least 1.
    """
    capacity = traps.density / REFERENCE_ELECTRON**traps.exponent
    kept = np.exp(-1.0 / traps.release_pixel)
    _remove(
        packets,
        capacity.astype(np.float32),
        kept.astype(np.float32),
        np.float32(traps.exponent),
        skipped,
        iterations,
    )


@compiled
def _remove(
    packets: NDArray[np.float32],
    capacity: NDArray[np.float32],
    kept: NDArray[np.float32],
    exponent: np.float32,
    skipped: int,
    iterations: int,
) -> None:
    count, lines = packets.shape
    species = len(capacity)
    held = np.zeros((species, lines), np.float32)
    zero = np.float32(0.0)
    for packet in range(count):
        passed = np.float32(skipped + packet + 1)
        for line in range(lines):
            measured = packets[packet, line]
            charge = measured
            volume = share = zero
            for _ in range(iterations):
                present = max(charge, zero)
                volume = passed * present**exponent
                wanted = zero
                for s in range(species):
                    wanted += max(capacity[s] * volume - held[s, line], zero)
                share = present / (present + wanted) if wanted > zero else zero
                charge = measured
                for s in range(species):
                    into = share * max(capacity[s] * volume - held[s, line], zero)
                    charge += into - (np.float32(1.0) - kept[s]) * (held[s, line] + into)
            for s in range(species):
                into = share * max(capacity[s] * volume - held[s, line], zero)
                held[s, line] = (held[s, line] + into) * kept[s]
            packets[packet, line] = charge
