"""Positions of simulated source lists: success, accuracy and time, beside scamp.

    python benchmarks/position.py                # markdown, 200 fields for each density
    python benchmarks/position.py --fields 20    # fewer
    python benchmarks/position.py --no-peers     # success alone

Fields are lists of positions (`star_fields.py`), no pixels. scamp is measured where it is
installed, on the same lists in its own format.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from star_fields import SHAPE, TIME, Case, Field, make_field

from csst_imaging.position.epoch import stars_at
from csst_imaging.stages import position
from csst_imaging.stages.position import solve_position
from csstcore.api import UnprocessableData

PATIENCE_S = 120.0

WRONG_MAS = 111.0
"""Median error at the stars above which a solution is wrong: 1.5 pixels."""

CASES = {
    "15 stars": Case(15),
    "20 stars": Case(20),
    "40 stars": Case(40),
    "40 stars, half of them missed": Case(40, missing=0.5),
    "40 stars, 95 % of the sources others": Case(40, spurious=0.95),
    "150 stars": Case(150),
    "150 stars, magnitudes of another band": Case(150, colour_scatter_mag=2.0),
    "1,000 stars": Case(1000),
    "7,200 stars (2e5 per square degree)": Case(7200, spurious=0.65),
}


@dataclass
class Tally:
    """What became of many fields."""

    solved: int = 0
    wrong: int = 0
    refused: int = 0
    right_pairs: list[float] = field(default_factory=list)
    rms_mas: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


class Pairs:
    """Takes the pairs of a solution out of the stage, to count the right ones."""

    def __init__(self) -> None:
        self.report = position.report_residuals

    def __enter__(self) -> Pairs:
        position.report_residuals = self.keep
        return self

    def __exit__(self, *_: object) -> None:
        position.report_residuals = self.report

    def keep(self, wcs, plane, spots, lists, solution) -> None:
        here, there = solution.pairs.T
        self.source, self.star, self.plane = spots.pixel[here], lists.star[there], plane
        self.report(wcs, plane, spots, lists, solution)

    def right(self, found: Field) -> float:
        """Return the part of the pairs whose source is the star's own."""
        _, near = cKDTree(found.pixel).query(self.source)
        listed = stars_at(found.stars.table, TIME)
        place = self.plane.seen(listed.ra_deg, listed.dec_deg)
        _, number = cKDTree(place).query(self.star)
        apart = (listed.ra_deg[number] - found.ra[near]) * np.cos(np.radians(found.dec[near]))
        apart = np.hypot(apart, listed.dec_deg[number] - found.dec[near]) * 3.6e6
        far = np.hypot(*(found.pixel[near] - self.source).T)
        return float(np.mean((apart < 74.0) & (far < 1.0)))


def try_fields(case: Case, number: int) -> Tally:
    """Solve fields of one kind."""
    tally = Tally()
    for seed in range(number):
        found = make_field(case, seed)
        start = time.process_time()
        with Pairs() as pairs:
            try:
                wcs = solve_position(found.image, found.sources, found.stars).wcs
            except UnprocessableData:
                tally.refused += 1
                tally.cpu_s.append(time.process_time() - start)
                continue
        tally.cpu_s.append(time.process_time() - start)
        error = found.errors_mas(wcs)
        if np.median(np.hypot(*error)) > WRONG_MAS:
            tally.wrong += 1
            continue
        tally.solved += 1
        tally.right_pairs.append(pairs.right(found))
        tally.rms_mas.append(float(np.sqrt(np.mean(error**2))))
    return tally


def print_success(number: int) -> None:
    """Print the table by density."""
    print("\n| field | fields | solved | refused | wrong | right pairs % | rms mas | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, case in CASES.items():
        count = number if case.stars < 1000 else max(number // 10, 5)
        tally = try_fields(case, count)
        print(
            f"| {name} | {count} | {tally.solved} | {tally.refused} | {tally.wrong} | "
            f"{100 * np.mean(tally.right_pairs):.2f} | {np.median(tally.rms_mas):.2f} | "
            f"{np.median(tally.cpu_s):.3f} |",
            flush=True,
        )


# scamp


def write_ldac(path: Path, header: fits.Header, columns: list[fits.Column]) -> None:
    """Write a catalogue as scamp reads it: the image's header as text, then the objects."""
    text = header.tostring(endcard=True, padding=False)
    row = np.array([(text.encode(),)], [("Field Header Card", f"S{len(text)}")])
    image = fits.BinTableHDU(row, name="LDAC_IMHEAD")
    image.header["TDIM1"] = f"(80, {len(text) // 80})"
    units = fits.HDUList(
        [
            fits.PrimaryHDU(),
            image,
            fits.BinTableHDU.from_columns(columns, name="LDAC_OBJECTS"),
        ]
    )
    units.writeto(path, overwrite=True)
    # astropy fills the last card with zeros, scamp looks for its blanks
    path.write_bytes(path.read_bytes().replace(b"END" + 77 * b"\0", b"END" + 77 * b" "))


def write_sources(path: Path, found: Field) -> None:
    """Write the sources of a field."""
    wcs = found.image.wcs.wcs
    head = fits.Header()
    head["SIMPLE"], head["BITPIX"], head["NAXIS"] = True, -32, 2
    head["NAXIS1"], head["NAXIS2"] = SHAPE[1], SHAPE[0]
    head["EXTEND"], head["EQUINOX"], head["RADESYS"] = True, 2000.0, "ICRS"
    for i in (1, 2):
        head[f"CTYPE{i}"], head[f"CUNIT{i}"] = str(wcs.ctype[i - 1]), "deg"
        head[f"CRVAL{i}"], head[f"CRPIX{i}"] = float(wcs.crval[i - 1]), float(wcs.crpix[i - 1])
        for j in (1, 2):
            head[f"CD{i}_{j}"] = float(wcs.cd[i - 1, j - 1])
    head["EXPTIME"], head["FILTER"], head["GAIN"] = 150.0, "g", 1.0
    table = found.sources.table
    x, error = table["x"].value, table["x_error"].value
    flux = table["flux_isophotal"].value
    n = len(x)
    columns = [
        fits.Column("XWIN_IMAGE", "1D", array=x),
        fits.Column("YWIN_IMAGE", "1D", array=table["y"].value),
        fits.Column("ERRAWIN_IMAGE", "1E", array=error),
        fits.Column("ERRBWIN_IMAGE", "1E", array=error),
        fits.Column("ERRTHETAWIN_IMAGE", "1E", array=np.zeros(n)),
        fits.Column("FLUX_AUTO", "1E", array=flux * 1e3),
        fits.Column("FLUXERR_AUTO", "1E", array=flux * 1e3 * error),
        fits.Column("MAG_AUTO", "1E", array=-2.5 * np.log10(flux)),
        fits.Column("MAGERR_AUTO", "1E", array=1.0857 * error),
        fits.Column("FLAGS", "1I", array=table["flags"]),
        fits.Column("FLUX_RADIUS", "1E", array=np.full(n, 1.3)),
        fits.Column("ELONGATION", "1E", array=np.ones(n)),
    ]
    write_ldac(path, head, columns)


def write_stars(path: Path, found: Field) -> None:
    """Write the reference stars of a field, at the time of the exposure."""
    stars = stars_at(found.stars.table, TIME)
    error = stars.error_mas / 3.6e6
    columns = [
        fits.Column("X_WORLD", "1D", "deg", array=stars.ra_deg),
        fits.Column("Y_WORLD", "1D", "deg", array=stars.dec_deg),
        fits.Column("ERRA_WORLD", "1E", "deg", array=error[0]),
        fits.Column("ERRB_WORLD", "1E", "deg", array=error[1]),
        fits.Column("ERRTHETA_WORLD", "1E", "deg", array=np.zeros(len(stars))),
        fits.Column("MAG", "1E", "mag", array=stars.magnitude),
        fits.Column("MAGERR", "1E", "mag", array=np.full(len(stars), 0.01)),
        fits.Column("OBSDATE", "1D", "yr", array=np.full(len(stars), TIME.jyear)),
    ]
    write_ldac(path, fits.Header(), columns)


def run_scamp(found: Field, folder: Path, degree: int) -> tuple[float, float, WCS]:
    """Return wall and CPU seconds of scamp on a field, and its solution."""
    write_sources(folder / "sources.ldac", found)
    write_stars(folder / "stars.ldac", found)
    settings = {
        "ASTREF_CATALOG": "FILE",
        "ASTREFCAT_NAME": "stars.ldac",
        "ASTREFCENT_KEYS": "X_WORLD,Y_WORLD",
        "ASTREFERR_KEYS": "ERRA_WORLD,ERRB_WORLD,ERRTHETA_WORLD",
        "ASTREFMAG_KEY": "MAG",
        "ASTREFMAGERR_KEY": "MAGERR",
        "ASTREFOBSDATE_KEY": "OBSDATE",
        "POSITION_MAXERR": "1.0",
        "POSANGLE_MAXERR": "2.0",
        "CROSSID_RADIUS": "2.0",
        "DISTORT_DEGREES": str(degree),
        "SOLVE_PHOTOM": "N",
        "CHECKPLOT_TYPE": "NONE",
        "WRITE_XML": "N",
        "VERBOSE_TYPE": "QUIET",
        "NTHREADS": "1",
        "SN_THRESHOLDS": "5.0,100.0",
        "FWHM_THRESHOLDS": "0,100",
    }
    words = ["scamp", "sources.ldac", *(w for k, v in settings.items() for w in (f"-{k}", v))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    text = (folder / "sources.head").read_text(encoding="latin-1")
    return wall, cpu, WCS(fits.Header.fromstring(text, sep="\n"))


def print_peers() -> None:
    """Print accuracy and time of one field beside scamp."""
    print("\n| list | tool | wall s | CPU s | rms mas | largest mas |")
    print("|---|---|---|---|---|---|")
    noisy = Case(7200, spurious=0.65, shift_arcsec=5.0, rotation_degree=0.05)
    sparse = replace(noisy, stars=1000, spurious=0.8)
    lists = {
        "7,200 stars": noisy,
        "7,200 stars without noise": replace(noisy, noise=False),
        "1,000 stars": sparse,
        "1,000 stars without noise": replace(sparse, noise=False),
        "1,000 stars, 30 arcsec and 1 degree off": replace(
            sparse, shift_arcsec=30.0, rotation_degree=1.0
        ),
    }
    for name, case in lists.items():
        found = make_field(case, 1)
        solve_position(found.image, found.sources, found.stars)
        wall, cpu = time.perf_counter(), time.process_time()
        wcs = solve_position(found.image, found.sources, found.stars).wcs
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print_row(name, "csst-imaging", wall, cpu, found.errors_mas(wcs))
        if shutil.which("scamp") is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for degree in (3, 4):
                tool = f"scamp, degree {degree}"
                try:
                    wall, cpu, peer = run_scamp(found, Path(folder), degree)
                except (subprocess.SubprocessError, OSError) as error:
                    print(f"| {name} | {tool} | {type(error).__name__} | | | |", flush=True)
                    continue
                print_row(name, tool, wall, cpu, found.errors_mas(peer))


def print_row(name: str, tool: str, wall: float, cpu: float, error: NDArray[np.float64]) -> None:
    """Print one row of the table of peers."""
    rms, largest = np.sqrt(np.mean(error**2)), np.hypot(*error).max()
    print(f"| {name} | {tool} | {wall:.2f} | {cpu:.2f} | {rms:.3f} | {largest:.2f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=200, help="fields for each density")
    parser.add_argument("--no-peers", action="store_true", help="leave the first table out")
    given = parser.parse_args()
    if not given.no_peers:
        print_peers()
    print_success(given.fields)


if __name__ == "__main__":
    main()
