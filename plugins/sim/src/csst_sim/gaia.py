"""A Gaia-like reference catalogue: true stars seen with Gaia's errors.

Errors follow the end-of-mission scaling of Gaia DR3 with G: parallax error
``0.025 mas`` at the bright end, growing as ``10^(0.2 (G - 15))`` and faster when the background
counts; position errors 0.8 and proper-motion errors 1.03 times that (Gaia Collaboration,
Lindegren et al. 2021, A&A 649, A2, table 4; the smooth form is an approximation).
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_sim.sky import EPOCH_YEAR

FAINTEST_G_MAG = 21.0


def parallax_error_mas(g_mag: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the error of a parallax by magnitude: 0.02 at G 14, 0.07 at 17, 0.5 at 20."""
    z = 10.0 ** (0.4 * (np.maximum(g_mag, 13.0) - 15.0))
    return np.asarray(1e-3 * np.sqrt(40.0 + 800.0 * z + 30.0 * z**2))


def photometric_errors(
    g_mag: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the errors of G and of BP - RP by magnitude.

    Through 0.3, 1 and 6 mmag of G at 13, 17 and 20 mag, with 0.9, 12 and 108 of BP and 0.6, 6 and
    52 of RP (Gaia Collaboration, Vallenari et al. 2023, A&A 674, A1, table 2), straight in the
    logarithm.
    """
    at = (13.0, 17.0, 20.0, 21.0)
    g, blue, red = (
        10.0 ** np.interp(g_mag, at, np.log10(error))
        for error in (
            (3e-4, 1e-3, 6e-3, 1.2e-2),
            (9e-4, 1.2e-2, 0.108, 0.25),
            (6e-4, 6e-3, 0.052, 0.12),
        )
    )
    return np.asarray(g), np.asarray(np.hypot(blue, red))


REDDENING_ERROR_MAG = 0.02


def observe_stars(stars: QTable, rng: np.random.Generator) -> QTable:
    """Return the stars brighter than G 21 as Gaia would list them, at epoch 2016.0.

    Columns ``ra, dec`` (deg), ``ra_error, dec_error`` (mas; that of ra includes cos dec),
    ``pmra`` (includes cos dec)``, pmdec, pmra_error, pmdec_error`` (mas/yr), ``parallax`` (mas),
    ``g_mag, bp_rp, reddening`` (mag) and their errors, ``epoch`` (yr).
    """
    kept = stars[stars["g_mag"] < FAINTEST_G_MAG * u.mag]
    g_mag = kept["g_mag"].to_value(u.mag)
    parallax = parallax_error_mas(g_mag)
    position, motion = 0.8 * parallax, 1.03 * parallax
    noise = rng.standard_normal((5, len(kept)))
    dec = kept["dec"].to_value(u.deg)
    to_degree = 1.0 / 3.6e6
    table = QTable()
    table["ra"] = (
        (
            kept["ra"].to_value(u.deg)
            + noise[0] * position * to_degree / np.maximum(np.cos(np.deg2rad(dec)), 1e-6)
        )
        % 360.0
        * u.deg
    )
    table["dec"] = np.clip(dec + noise[1] * position * to_degree, -90.0, 90.0) * u.deg
    table["ra_error"] = table["dec_error"] = position * u.mas
    table["pmra"] = kept["pmra"] + noise[2] * motion * u.mas / u.yr
    table["pmdec"] = kept["pmdec"] + noise[3] * motion * u.mas / u.yr
    table["pmra_error"] = table["pmdec_error"] = motion * u.mas / u.yr
    table["parallax"] = kept["parallax"] + noise[4] * parallax * u.mas
    photometry = rng.standard_normal((3, len(kept)))
    reddening_error = np.full(len(kept), REDDENING_ERROR_MAG)
    errors = (*photometric_errors(g_mag), reddening_error)
    for name, error, deviate in zip(
        ("g_mag", "bp_rp", "reddening"), errors, photometry, strict=True
    ):
        table[name] = kept[name] + deviate * error * u.mag
        table[f"{name}_error"] = error * u.mag
    table["epoch"] = np.full(len(kept), EPOCH_YEAR) * u.yr
    return table
