"""Planets of the coronagraph: injected ones fitted, and false positives in cubes without any.

    OMP_NUM_THREADS=1 python benchmarks/cpic_companions.py              # both, several minutes
    OMP_NUM_THREADS=1 python benchmarks/cpic_companions.py --injections 100 --cubes 0

Cubes are of `csst_sim.cpic.direct.simulate_cube`: each has speckles, drift and noise of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.coronagraph_cubes import Observed, observed

from csst_cpic.planets.aperture_noise import aperture_sums, ratios
from csst_cpic.planets.companion_fit import fit_companion
from csst_cpic.planets.experiment import Source
from csst_cpic.planets.frame_scatter import levels
from csst_cpic.planets.repeated import repeated
from csst_cpic.planets.small_samples import aperture_number, false_positive_fraction
from csst_cpic.star.sky_frame import to_offsets

Float = NDArray[np.float64]
REGIMES: dict[str, dict[str, Any]] = {
    "drift within half a series": {},
    "drift within two series": {"drift_frames": 40.0},
    "photon noise": {"star_electron": 2e10},
    "twice the frames": {"frames": 40, "drift_frames": 40.0},
}
"""Changes of `tests.integration.coronagraph_cubes.CUBE`."""


@dataclass(frozen=True)
class Injections:
    """What fits of injected planets gave, one value a planet."""

    signal_to_noise: Float
    """Of the detection (Mawet et al. 2014)."""
    flux: Float
    """Over the true one."""
    flux_error: Float
    radial_fwhm: Float
    radial_error_fwhm: Float
    tangential_fwhm: Float
    tangential_error_fwhm: Float
    converged: NDArray[np.bool_]
    cpu_s: float
    """Of a fit."""

    def summary(self) -> dict[str, float]:
        """Return the numbers of the issue: biases with their errors, pulls."""
        good = self.converged
        count = np.sqrt(np.count_nonzero(good))
        flux = self.flux[good] - 1
        numbers = {
            "converged": float(good.mean()),
            "signal to noise": float(np.median(self.signal_to_noise)),
            "flux bias": float(flux.mean()),
            "flux bias error": float(flux.std() / count),
            "flux pull": float(np.std(flux / self.flux_error[good])),
        }
        for name in ("radial", "tangential"):
            away = getattr(self, f"{name}_fwhm")[good]
            error = getattr(self, f"{name}_error_fwhm")[good]
            numbers[f"{name} bias [FWHM]"] = float(away.mean())
            numbers[f"{name} bias error [FWHM]"] = float(away.std() / count)
            numbers[f"{name} pull"] = float(np.std(away / error))
        return numbers | {"CPU seconds a fit": self.cpu_s}


@dataclass(frozen=True)
class FalsePositives:
    """Apertures of cubes without planets above 3 sigma."""

    plain: int
    levelled: int
    below: int
    """As far below zero, levelled."""
    expected: float
    error: float
    """Binomial standard deviation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--injections", type=int, default=200)
    parser.add_argument("--cubes", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.injections:
        for name, value in injections(arguments.injections).summary().items():
            print(f"{name:28s} {value:8.4f}")
    if arguments.cubes:
        for name, changes in REGIMES.items():
            print(f"{name:28s} {false_positives(arguments.cubes, **changes)}")


def injections(number: int, seed: int = 3000, target: float = 12.0) -> Injections:
    """Inject planets of a signal over noise of ten and fit them, each in a cube of its own.

    Parameters
    ----------
    number
        Planets, one a cube, between 20 and 38 pixels from the star.
    seed
        Of the first cube.
    target
        Flux of the planets, in units of the scatter of the apertures of their ring.
    """
    rng = np.random.default_rng(seed)
    rows, cpu = [], 0.0
    for k in range(number):
        separation, angle = rng.uniform(20.0, 38.0), rng.uniform(0.0, 360.0)
        contrast = target * _noise(observed(seed=seed + k), separation)
        run = observed([(separation, angle, contrast)], seed=seed + k)
        experiment = repeated(run.cube, run.frames, run.settings, run.star, None)
        fwhm = experiment.fwhm_pixel
        off = rng.normal(0.0, 0.08 * fwhm, 2)
        guess = Source(0.0, separation + off[0], angle + np.degrees(off[1] / separation))
        start = time.process_time()
        fit = fit_companion(experiment, guess)
        cpu += time.process_time() - start
        turn = np.radians((fit.source.position_angle_deg - angle + 180.0) % 360.0 - 180.0)
        rows.append(
            (
                _ratio(experiment.image(), separation, angle, fwhm),
                fit.source.contrast / contrast,
                fit.contrast_error / contrast,
                (fit.source.separation_pixel - separation) / fwhm,
                fit.separation_error_pixel / fwhm,
                turn * separation / fwhm,
                fit.tangential_error_pixel / fwhm,
                fit.converged,
            )
        )
    columns = np.array(rows, np.float64).T
    return Injections(*columns[:7], columns[7].astype(bool), cpu / number)


def false_positives(cubes: int, seed: int = 30000, **changes: Any) -> FalsePositives:
    """Count apertures above 3 sigma in cubes without planets.

    Each ring is tested in apertures side by side, one FWHM apart from the next ring.
    """
    rng = np.random.default_rng(seed)
    fractions: dict[str, list[Float]] = {"plain": [], "levelled": []}
    for k in range(cubes):
        run = observed(seed=seed + k, **changes)
        experiment = repeated(run.cube, run.frames, run.settings, run.star, None)
        fwhm, middle = experiment.fwhm_pixel, run.cube.data.shape[1] // 2
        sums = aperture_sums(experiment.image(), fwhm)
        planes = {"plain": sums, "levelled": sums * levels(experiment.subtraction)}
        inner, outer = run.reduction.inner_radius_pixel, run.reduction.outer_radius_pixel
        for radius in np.arange(inner + fwhm / 2, outer - fwhm / 2, fwhm):
            count = int(aperture_number(radius, fwhm))
            angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(count) / count
            place = middle + radius * np.sin(angle), middle + radius * np.cos(angle)
            for name, plane in planes.items():
                fractions[name].append(false_positive_fraction(*ratios(plane, fwhm, *place)))
    rarity = norm.sf(3.0)
    plain, levelled = (np.concatenate(fractions[name]) for name in ("plain", "levelled"))
    expected = rarity * np.count_nonzero(np.isfinite(levelled))
    return FalsePositives(
        plain=int(np.count_nonzero(plain < rarity)),
        levelled=int(np.count_nonzero(levelled < rarity)),
        below=int(np.count_nonzero(levelled > 1 - rarity)),
        expected=float(expected),
        error=float(np.sqrt(expected * (1 - rarity))),
    )


def _noise(run: Observed, separation: float) -> float:
    """Return the scatter of the apertures of a ring as a contrast."""
    experiment = repeated(run.cube, run.frames, run.settings, run.star, None)
    fwhm = experiment.fwhm_pixel
    sums = aperture_sums(experiment.image(), fwhm)
    ring = sums[np.abs(experiment.radius() - separation) < fwhm / 2]
    star = aperture_sums(run.star.data, fwhm)
    seconds = run.frames.table["exposure_time"].to_value(u.s)[0]
    return float(np.nanstd(ring) / np.nanmax(star) / seconds)


def _ratio(image: NDArray[np.float32], separation: float, angle: float, fwhm: float) -> float:
    middle = len(image) // 2
    dx, dy = to_offsets(separation, angle)
    sums = aperture_sums(image, fwhm)
    return float(ratios(sums, fwhm, np.array([middle + dy]), np.array([middle + dx]))[0][0])


if __name__ == "__main__":
    main()
