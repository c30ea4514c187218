"""Console command ``hstdm-exposure``: how long to observe for a wanted noise.

System temperature and noise are on one scale, that of antenna temperatures T_A* of the signal
sideband: ``T_sys(SSB) = T_sys(DSB) / (G_s eta_l)``. Level 1 writes double-sideband ones (TSYS);
with G_s = 0.5 and eta_l = 0.96 they are to be multiplied by 2.08. Noise of T_mb is that of T_A*
times ``eta_l / eta_mb``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from csst_hstdm.radiometer import off_time, on_time

_UNITS = {
    "on_s": "integration of one ON position [s]",
    "off_s": "integration of one OFF position [s]",
    "on_total_s": "all ON positions [s]",
    "off_total_s": "all OFF positions [s]",
    "total_s": "all together, without slewing and loads [s]",
}


@dataclass(frozen=True, slots=True)
class Exposure:
    """Integration times of an observation."""

    on_s: float
    off_s: float
    on_total_s: float
    off_total_s: float
    total_s: float


def exposure(
    *,
    tsys: float,
    df: float,
    sigma: float,
    eta: float = 1.0,
    on_num: int = 1,
    line_num: int = 1,
) -> Exposure:
    """Return the integration times that reach a noise.

    ``t_on = (T_sys / (eta sigma))^2 (1 + 1 / sqrt(N)) / df`` with an OFF of ``sqrt(N) t_on`` for
    every N ONs (see `radiometer`). A map has `line_num` rows of `on_num` ONs, each row with an
    OFF of its own; a target is one row of one ON. The official calculator has the same inputs;
    that its formula is this one is inferred from them.

    Parameters
    ----------
    tsys
        Single-sideband system temperature on the scale T_A*, K; see the module for that of Level 1.
    df
        Resolution wanted, Hz.
    sigma
        Noise of ON - OFF wanted, T_A* in K.
    eta
        Efficiency of the spectrometer, more than 0 and at most 1.
    on_num
        ONs that share an OFF.
    line_num
        Rows of the map.

    Raises
    ------
    ValueError
        If a number is outside its range; names it.
    """
    for name, value in (("tsys", tsys), ("df", df), ("sigma", sigma), ("eta", eta)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; expected a positive number")
    if eta > 1:
        raise ValueError(f"eta is {eta}; expected at most 1")
    for name, count in (("on_num", on_num), ("line_num", line_num)):
        if count < 1:
            raise ValueError(f"{name} is {count}; expected 1 or more")
    on_s = float(on_time(sigma, tsys, df, on_per_off=on_num, efficiency=eta))
    off_s = float(off_time(on_s, on_num))
    on_total_s, off_total_s = on_num * line_num * on_s, line_num * off_s
    return Exposure(on_s, off_s, on_total_s, off_total_s, on_total_s + off_total_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    as_json = given.pop("json")
    given.pop("mode")
    try:
        found = asdict(exposure(**given))
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.writelines(f"{_UNITS[name]:<45} {value:.6g}\n" for name, value in found.items())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hstdm-exposure",
        description="Integration times of HSTDM for a wanted noise. Temperatures are on the scale "
        "T_A* of the signal sideband: T_sys(SSB) = T_sys(DSB) / (G_s eta_l), about 2.1 times the "
        "double-sideband TSYS of Level 1.",
    )
    modes = parser.add_subparsers(dest="mode", required=True)
    target = modes.add_parser("target", help="one position, ON and OFF in turn")
    scan = modes.add_parser("otf", help="a map on the fly, one OFF per row")
    for each in (target, scan):
        each.add_argument(
            "--tsys",
            type=float,
            required=True,
            help="system temperature, single sideband, T_A* [K]",
        )
        each.add_argument("--df", type=float, required=True, help="resolution [Hz]")
        each.add_argument("--sigma", type=float, required=True, help="wanted noise, T_A* [K]")
        each.add_argument("--eta", type=float, default=1.0, help="efficiency of the spectrometer")
        each.add_argument("--json", action="store_true", help="print JSON")
    scan.add_argument("--on-num", type=int, required=True, help="ON positions per OFF, in a row")
    scan.add_argument("--line-num", type=int, required=True, help="rows of the map")
    return parser
