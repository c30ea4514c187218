"""One full frame through mbi.l1, beside astroscrappy, source-extractor, scamp and psfex.

    python benchmarks/level1_chain.py demo          # the folder that `make demo` has filled
    python benchmarks/level1_chain.py demo --ours   # mbi.l1 alone

The peers get the frame calibrated already, in electrons, with its cosmic rays: what mbi.l1 does
before and after (overscan to flat, weights, flags, headers, records) they do not do. Peers that
are not installed are said and left out. The exit code is 1 if mbi.l1 takes more than 15 s or
2.5 GB, or the chain of all peers is not 5 times slower.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from astropy.wcs import WCS
from position import write_ldac

from csst_imaging.position.epoch import stars_at
from csstcore.definitions.catalog import Definitions
from csstcore.definitions.read import merge_products, read_products
from csstcore.plugins.discovery import discover

LIMIT_S, LIMIT_BYTES, LIMIT_RATIO = 15.0, 2.5e9, 5.0
READ_NOISE_ELECTRON = 5.0
SATURATION_ELECTRON = 85_000.0
PEERS = ("astroscrappy", "source-extractor", "scamp", "psfex")
ASTROSCRAPPY = """
import sys
import astroscrappy
from astropy.io import fits

data = fits.getdata("frame.fits").astype("float32")
mask, clean = astroscrappy.detect_cosmics(
    data, inmask=fits.getdata("bad.fits").astype(bool), sigclip=4.5, sigfrac=0.3, objlim=5.0,
    gain=1.0, readnoise=float(sys.argv[1]), satlevel=float(sys.argv[2]),
)
fits.writeto("clean.fits", clean, fits.getheader("frame.fits"))
fits.writeto("mask.fits", mask.astype("uint8"))
"""
COLUMNS = """NUMBER X_IMAGE Y_IMAGE XWIN_IMAGE YWIN_IMAGE ERRAWIN_IMAGE ERRBWIN_IMAGE
ERRTHETAWIN_IMAGE FLUX_AUTO FLUXERR_AUTO MAG_AUTO MAGERR_AUTO FLUX_APER(12) FLUXERR_APER(12)
FLUX_RADIUS FWHM_IMAGE A_IMAGE B_IMAGE THETA_IMAGE ELONGATION SNR_WIN FLAGS
VIGNET(51,51)"""
DEFAULT_CONV = """CONV NORM
1 2 1
2 4 2
1 2 1
"""


LAUNCHER = """
import json, os, sys, time

start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
took = [time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]
with open(sys.argv[1], "w") as file:
    json.dump(took, file)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process around each command: one that is forked counts the memory of its parent."""


@dataclass(frozen=True)
class Usage:
    """What a command took, its children included."""

    name: str
    wall_s: float
    cpu_s: float
    peak_bytes: int


def measured(name: str, words: Sequence[object], folder: Path) -> Usage:
    """Run a command and return what it took.

    Raises
    ------
    RuntimeError
        With what it printed, if it fails.
    """
    result, printed = folder / "usage.json", folder / "printed.txt"
    with printed.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, result, *map(str, words)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{name}: exit code {done.returncode}\n{printed.read_text()}")
    return Usage(name, *json.loads(result.read_text()))


def run_ours(demo: Path, folder: Path) -> Usage:
    """Run mbi.l1 through the command line into ``folder/level1``."""
    shutil.rmtree(folder / "level1", ignore_errors=True)
    words = [sys.executable, "-m", "csstcore.cli.main", "run", "mbi.l1"]
    words += [demo / "exposure" / "products", "-o", folder / "level1", "--no-figures"]
    return measured("mbi.l1", [*words, "--refs", demo / "references"], folder)


def write_frame(demo: Path, folder: Path) -> None:
    """Write what the peers get: the calibrated frame in electrons, its bad pixels, the stars."""
    definitions = Definitions(discover())
    (path,) = (folder / "level1" / "products").rglob("*_IMG.fits")
    files = [read_products(definitions.get("msc.l1_image"), path)]
    (path,) = (folder / "level1" / "products").rglob("*_FLG.fits")
    files.append(read_products(definitions.get("msc.l1_flags"), path))
    (image,) = merge_products(files)
    (path,) = (demo / "exposure" / "products").rglob("*_L0_*.fits")
    raw = read_products(definitions.get("msc.l0"), path).products[0]
    seconds = image.meta.exposure_time.to_value("s")
    header = _header(raw.wcs, seconds)
    fits.writeto(folder / "frame.fits", image.data * np.float32(seconds), header)
    bad = image.flagged("bad", "hot", "saturated")
    fits.writeto(folder / "bad.fits", bad.astype(np.uint8))
    stars = [*(demo / "references" / "files").rglob("*reference_stars*.fits")]
    _write_stars(folder / "stars.ldac", stars, image.meta.time)


def _header(wcs: WCS, seconds: float) -> fits.Header:
    """Return the commanded pointing as the raw frame has it, with a CD matrix."""
    header = fits.Header()
    for axis in (1, 2):
        header[f"CTYPE{axis}"] = wcs.wcs.ctype[axis - 1]
        header[f"CUNIT{axis}"] = "deg"
        header[f"CRPIX{axis}"] = float(wcs.wcs.crpix[axis - 1])
        header[f"CRVAL{axis}"] = float(wcs.wcs.crval[axis - 1])
        for other in (1, 2):
            header[f"CD{axis}_{other}"] = float(wcs.pixel_scale_matrix[axis - 1, other - 1])
    header["EXPTIME"], header["GAIN"], header["FILTER"] = seconds, 1.0, "g"
    return header


def _write_stars(path: Path, files: Sequence[Path], when: Time) -> None:
    """Write the reference stars at the time of the exposure, as scamp reads them."""
    found = [stars_at(QTable.read(file), when) for file in files]

    def column(name: str, unit: str, values: Sequence[np.ndarray]) -> fits.Column:
        form = "1D" if name in ("X_WORLD", "Y_WORLD", "OBSDATE") else "1E"
        return fits.Column(name, form, unit, array=np.concatenate(values))

    columns = [
        column("X_WORLD", "deg", [stars.ra_deg for stars in found]),
        column("Y_WORLD", "deg", [stars.dec_deg for stars in found]),
        column("ERRA_WORLD", "deg", [stars.error_mas[0] / 3.6e6 for stars in found]),
        column("ERRB_WORLD", "deg", [stars.error_mas[1] / 3.6e6 for stars in found]),
        column("ERRTHETA_WORLD", "deg", [np.zeros(len(stars)) for stars in found]),
        column("MAG", "mag", [stars.magnitude for stars in found]),
        column("MAGERR", "mag", [np.full(len(stars), 0.01) for stars in found]),
        column("OBSDATE", "yr", [np.full(len(stars), when.jyear) for stars in found]),
    ]
    write_ldac(path, fits.Header(), columns)


def run_peers(folder: Path) -> Iterator[Usage]:
    """Run the peers one after the other, each on what the one before has made."""
    threads = str(len(os.sched_getaffinity(0)))
    frame = "frame.fits"
    if find_spec("astroscrappy") is None:
        print("astroscrappy is not installed: left out")
    else:
        words = [sys.executable, "-c", ASTROSCRAPPY, READ_NOISE_ELECTRON, SATURATION_ELECTRON]
        yield measured("astroscrappy", words, folder)
        frame = "clean.fits"
    (folder / "columns.param").write_text("\n".join(COLUMNS.split()) + "\n")
    (folder / "filter.conv").write_text(DEFAULT_CONV)
    settings = {
        "source-extractor": {
            "CATALOG_NAME": "sources.ldac",
            "CATALOG_TYPE": "FITS_LDAC",
            "PARAMETERS_NAME": "columns.param",
            "FILTER_NAME": "filter.conv",
            "DETECT_THRESH": 1.5,
            "ANALYSIS_THRESH": 1.5,
            "DETECT_MINAREA": 4,
            "BACK_SIZE": 128,
            "PHOT_APERTURES": "2,3,4,5,6,8,10,12,16,20,24,32",
            "GAIN": 1.0,
            "SATUR_LEVEL": SATURATION_ELECTRON,
            "PIXEL_SCALE": 0,
            "SEEING_FWHM": 0.17,
        },
        "scamp": {
            "ASTREF_CATALOG": "FILE",
            "ASTREFCAT_NAME": "stars.ldac",
            "ASTREFCENT_KEYS": "X_WORLD,Y_WORLD",
            "ASTREFERR_KEYS": "ERRA_WORLD,ERRB_WORLD,ERRTHETA_WORLD",
            "ASTREFMAG_KEY": "MAG",
            "ASTREFMAGERR_KEY": "MAGERR",
            "ASTREFOBSDATE_KEY": "OBSDATE",
            "POSITION_MAXERR": 1.0,
            "POSANGLE_MAXERR": 2.0,
            "CROSSID_RADIUS": 2.0,
            "DISTORT_DEGREES": 3,
            "SOLVE_PHOTOM": "N",
            "NTHREADS": threads,
            "CHECKPLOT_TYPE": "NONE",
            "SN_THRESHOLDS": "10.0,100.0",
            "FWHM_THRESHOLDS": "0,100",
        },
        "psfex": {
            "PSF_SIZE": "51,51",
            "PSF_SAMPLING": 0.5,
            "PSFVAR_DEGREES": 2,
            "SAMPLE_FWHMRANGE": "1.5,4.0",
            "NTHREADS": threads,
            "CHECKPLOT_TYPE": "NONE",
            "CHECKIMAGE_TYPE": "NONE",
        },
    }
    for name, own in settings.items():
        if shutil.which(name) is None:
            print(f"{name} is not installed: left out")
            continue
        config = folder / f"{name}.conf"
        common = {"WRITE_XML": "N", "VERBOSE_TYPE": "QUIET"}
        config.write_text("".join(f"{key} {value}\n" for key, value in {**common, **own}.items()))
        given = frame if name == "source-extractor" else "sources.ldac"
        yield measured(name, [name, given, "-c", config], folder)


def show(usage: Usage) -> None:
    """Print a row of the table."""
    print(
        f"| {usage.name} | {usage.wall_s:.1f} | {usage.cpu_s:.1f} | {usage.peak_bytes / 1e9:.2f} |",
        flush=True,
    )


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="folder that `make demo` has filled")
    parser.add_argument("--ours", action="store_true", help="leave the peers out")
    arguments = parser.parse_args()
    demo = arguments.demo.resolve()
    with tempfile.TemporaryDirectory(dir=demo.parent) as name:
        folder = Path(name)
        run_ours(demo, folder)  # compiles, where nothing is compiled yet
        print("| | wall s | CPU s | peak GB |\n|---|---|---|---|")
        ours = run_ours(demo, folder)
        show(ours)
        good = ours.wall_s <= LIMIT_S and ours.peak_bytes <= LIMIT_BYTES
        if arguments.ours:
            return int(not good)
        write_frame(demo, folder)
        peers = []
        for usage in run_peers(folder):
            show(usage)
            peers.append(usage)
    chain = Usage(
        "peers together",
        sum(peer.wall_s for peer in peers),
        sum(peer.cpu_s for peer in peers),
        max((peer.peak_bytes for peer in peers), default=0),
    )
    show(chain)
    ratio = chain.wall_s / ours.wall_s
    print(f"\nmbi.l1 is {ratio:.1f} times faster ({chain.cpu_s / ours.cpu_s:.1f} in CPU time)")
    return int(not good or (len(peers) == len(PEERS) and ratio < LIMIT_RATIO))


if __name__ == "__main__":
    sys.exit(main())
