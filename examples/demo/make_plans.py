"""Write the plans of the demonstration: calibration frames, a standard field, one exposure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

LAMP_ELECTRON_PER_S = 1500.0
FLAT_TIMES_S = (10.0, 10.0, 20.0, 20.0, 30.0, 30.0, 40.0, 40.0)
START = datetime(2027, 8, 1, tzinfo=UTC)

FULL = "9560x9264"
SMALL = "920x608"

STARS = {
    FULL: "",
    # Enough stars that Gaia would see on the 0.5 square arcminutes of the small detector.
    SMALL: """stars_per_arcmin2 = 200.0
star_g_mag = [16.5, 21.0]
star_slope = 0.1
galaxies_per_arcmin2 = 20.0
""",
}
THROUGHPUT = 0.96
"""Of the optics on the night of the exposure: what the zero point has to find."""


def write_plans(folder: Path, readout: str, detector: int, seed: int) -> tuple[Path, Path, Path]:
    """Write the three plans.

    Parameters
    ----------
    folder
        Where to write.
    readout
        Format of the frames: ``9560x9264``, or ``920x608`` for the small test detector.
    detector
        Number of the detector.
    seed
        Draws the hidden properties of the detector and of the sky.

    Returns
    -------
    calibration, standard, sky
        Paths of the plans. Standard fields are taken through nominal optics: they define the
        magnitudes.
    """
    head = f'readout = "{readout}"\ndetectors = [{detector}]\ninstrument_seed = {seed}\n'
    kinds = [("BIAS", 0.0)] * 6 + [("DARK", 300.0)] * 3 + [("FLAT", time) for time in FLAT_TIMES_S]
    text = f'name = "calibration"\nkind = "calibration"\n{head}'
    for number, (kind, seconds) in enumerate(kinds, 1):
        text += _exposure(number, kind, seconds)
        if kind == "FLAT":
            text += f"lamp_electron_per_s = {LAMP_ELECTRON_PER_S}\n"
    calibration = folder / "calibration.toml"
    calibration.write_text(text)
    standard, sky = folder / "standard.toml", folder / "sky.toml"
    for path, number, field in (
        (standard, 60, "ra_deg = 180.3\ndec_deg = -12.5\n"),
        (sky, 101, f"ra_deg = 150.1\ndec_deg = 2.2\nthroughput = {THROUGHPUT}\n"),
    ):
        text = f'name = "{path.stem}"\nkind = "imaging"\n{head}' + _exposure(number, "SCIE", 150.0)
        path.write_text(f"{text}{field}\n[sky]\nseed = {seed}\n{STARS[readout]}")
    return calibration, standard, sky


def _exposure(number: int, kind: str, seconds: float) -> str:
    time = (START + timedelta(minutes=10 * number)).isoformat().replace("+00:00", "Z")
    return (
        f'\n[[exposure]]\nobs_id = "101{number:08d}"\ntime = {time}\n'
        f'file_type = "{kind}"\nexposure_time_s = {seconds}\n'
    )
