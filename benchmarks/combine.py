"""Twenty frames of 9216 x 9232 to a master bias: `calib.combine`, numpy and ccdproc.

Each competitor is a process of its own that reads the same FITS files and writes a master;
its wall time and peak anonymous memory (RssAnon) are taken from outside. All clip at 5
normalised median absolute deviations about the median.

    python benchmarks/combine.py [FOLDER] [--frames 20] [--rows 9232] [--columns 9216]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

LEVEL_ADU, NOISE_ADU, HIT_FRACTION = 1000.0, 5.0, 0.0025
CLIP = 5.0
TILE_ROWS = 64


def make_frames(folder: Path, frames: int, shape: tuple[int, int]) -> None:
    """Write uint16 frames of noise in which a quarter of a percent of the pixels is hit."""
    for number in range(frames):
        path = folder / f"frame_{number:02d}.fits"
        if path.exists():
            continue
        rng = np.random.default_rng(number)
        data = rng.standard_normal(shape, np.float32) * np.float32(NOISE_ADU)
        data += np.float32(LEVEL_ADU)
        hits = rng.integers(0, data.size, int(HIT_FRACTION * data.size))
        data.reshape(-1)[hits] += rng.exponential(2000.0, hits.size).astype(np.float32)
        fits.PrimaryHDU(np.clip(np.rint(data), 0, 65535).astype(np.uint16)).writeto(path)


def ours(paths: list[Path], output: Path) -> None:
    """Combine with the stage, from copy-on-write maps as the run hands them over."""
    from csst_calib.stages.combine import combine
    from csstcore.api import Image

    with tempfile.TemporaryDirectory(dir=output.parent) as spool:
        images = []
        for path in paths:
            file = Path(spool) / f"{path.stem}.npy"
            np.save(file, fits.getdata(path), allow_pickle=False)
            images.append(Image(np.asarray(np.load(file, mmap_mode="c"))))
        combined = combine(images, clip_mad=CLIP)
    fits.PrimaryHDU(combined.data).writeto(output, overwrite=True)


def plain_numpy(paths: list[Path], output: Path) -> None:
    """Combine with numpy alone, tile by tile."""
    opened = [fits.open(path, memmap=True, do_not_scale_image_data=True) for path in paths]
    planes = [hdus[0].data for hdus in opened]
    result = np.empty(planes[0].shape, np.float32)
    for start in range(0, len(result), TILE_ROWS):
        rows = slice(start, start + TILE_ROWS)
        stack = np.stack([plane[rows].astype(np.float32) for plane in planes])
        stack += np.float32(32768)
        median = np.median(stack, axis=0)
        deviation = np.abs(stack - median)
        scale = np.float32(1.4826) * np.median(deviation, axis=0)
        kept = deviation <= np.float32(CLIP) * scale
        result[rows] = (stack * kept).sum(axis=0, dtype=np.float64) / kept.sum(axis=0)
    fits.PrimaryHDU(result).writeto(output, overwrite=True)


def with_ccdproc(paths: list[Path], output: Path) -> None:
    """Combine with ``ccdproc.combine``."""
    import ccdproc
    from astropy.stats import mad_std

    combined = ccdproc.combine(
        [str(path) for path in paths],
        method="average",
        unit="adu",
        mem_limit=8e9,
        sigma_clip=True,
        sigma_clip_low_thresh=CLIP,
        sigma_clip_high_thresh=CLIP,
        sigma_clip_func=np.ma.median,
        sigma_clip_dev_func=mad_std,
        dtype=np.float32,
    )
    fits.PrimaryHDU(np.asarray(combined.data, np.float32)).writeto(output, overwrite=True)


COMPETITORS = {"calib.combine": ours, "numpy, tiled": plain_numpy, "ccdproc.combine": with_ccdproc}


def measure(name: str, folder: Path, output: Path) -> dict[str, float]:
    """Run one competitor; return its wall time (s) and peak anonymous memory (GB)."""
    start = time.perf_counter()
    command = [sys.executable, __file__, str(folder), "--only", name, "--output", str(output)]
    with subprocess.Popen(command) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _anonymous_kilobytes(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{name} failed")
    return {"wall_s": time.perf_counter() - start, "peak_gb": peak * 1024 / 1e9}


def _anonymous_kilobytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((text for text in status.splitlines() if text.startswith("RssAnon:")), "")
    return int(line.split()[1]) if line else 0


def main() -> None:
    """Measure all competitors and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("combine_frames"))
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rows", type=int, default=9232)
    parser.add_argument("--columns", type=int, default=9216)
    parser.add_argument("--only", choices=COMPETITORS, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if arguments.only:
        COMPETITORS[arguments.only](sorted(folder.glob("frame_*.fits")), arguments.output)
        return
    folder.mkdir(parents=True, exist_ok=True)
    make_frames(folder, arguments.frames, (arguments.rows, arguments.columns))
    masters, figures = {}, {}
    for number, name in enumerate(COMPETITORS):
        output = folder / f"master_{number}.fits"
        figures[name] = measure(name, folder, output)
        masters[name] = fits.getdata(output)
    reference = masters["numpy, tiled"].astype(np.float64)
    ideal = np.sqrt((NOISE_ADU**2 + 1 / 12) / arguments.frames)
    print(f"{'':18}{'wall s':>9}{'RssAnon GB':>12}{'scatter/ideal':>15}{'differs by':>12}")
    for name, figure in figures.items():
        master = masters[name].astype(np.float64)
        scatter = np.std(master) / ideal
        differs = np.max(np.abs(master / reference - 1))
        figure |= {"scatter": scatter, "differs": differs}
        print(
            f"{name:18}{figure['wall_s']:9.1f}{figure['peak_gb']:12.2f}{scatter:15.4f}"
            f"{differs:12.1e}"
        )
    (folder / "figures.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
