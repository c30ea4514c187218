"""Makes the frames on which cosmic_rays.py measures, and checks them against their checksums.

    python benchmarks/cosmic_ray_frames.py            # check all frames
    python benchmarks/cosmic_ray_frames.py --write    # write the checksums

Parameters and seeds stand in cosmic_ray_frames.toml. The frames come from csst-sim as it was when
they were fixed, which shares no code with the fields that networks are trained on:

    git archive 29b30a6 plugins/sim | tar -x -C FOLDER
    PYTHONPATH=FOLDER/plugins/sim/src python benchmarks/cosmic_ray_frames.py
"""

import argparse
import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from csst_sim.device import draw_device
from csst_sim.direct import shipped, shot_of
from csst_sim.plan import parse_plan
from csst_sim.settings import DetectorRanges, Readout
from csst_sim.shot import Shot
from csst_sim.stages.charge import add_cosmic_rays, apply_brighter_fatter, saturate
from csst_sim.stages.light import add_sky, expose
from csst_sim.stages.scene import draw_scene
from csstcore.api import Image, Meta

PARAMETERS = Path(__file__).with_suffix(".toml")
CHECKSUMS = Path(__file__).with_suffix(".sha256")
OBS_ID = "10100000001"
SATURATED_SHARE = 0.98
CORE_SIGNAL_TO_NOISE = 20
AWAY_PIXEL = 2


@dataclass
class Frame:
    """An exposure as `calib.detect_cosmic_rays` gets it, with its truth."""

    detector: int
    filter: str
    diffusion: str
    image: Image
    """Electrons, with flags bad, hot and saturated."""
    deposit: NDArray[np.float32]
    sigma: NDArray[np.float32]
    """Noise without cosmic rays, in electrons."""
    cores: NDArray[np.intp]
    """Row and column of the centres of unsaturated stars, no particle within two pixels."""

    @property
    def name(self) -> str:
        """How the frame is called in the list of checksums."""
        return f"{self.diffusion}_{self.detector:02d}"

    def sha256(self) -> str:
        """Return the checksum of flags, whole adu and deposits in hundredths of an electron."""
        sha = hashlib.sha256(np.rint(self.image.data).astype("<i4").tobytes())
        sha.update(np.rint(self.deposit * 100).astype("<i4").tobytes())
        sha.update(self.image.flags.astype("<u2").tobytes())
        return sha.hexdigest()


def parameters() -> dict:
    return tomllib.loads(PARAMETERS.read_text(encoding="utf-8"))


def shot_with(detector: int, chosen: dict) -> Shot:
    """Return an exposure without the effects that earlier stages take out."""
    removed = ("prnu", "illumination", "shutter", "charge_transfer", "nonlinearity")
    plan = parse_plan(
        {
            "name": "cosmic_rays",
            "kind": "imaging",
            "readout": "920x608",
            "detectors": [detector],
            "instrument_seed": chosen["instrument_seed"],
            "effects": dict.fromkeys(removed, False),
            "sky": {"seed": chosen["sky_seed"] + detector},
            "exposure": [
                {
                    "obs_id": OBS_ID,
                    "time": "2027-05-01T00:00:00",
                    "exposure_time_s": chosen["exposure_time_s"],
                    "ra_deg": chosen["ra_deg"],
                    "dec_deg": chosen["dec_deg"],
                }
            ],
        },
        str(PARAMETERS),
    )
    side = chosen["side_pixel"]
    readout = replace(
        shipped("readout_920x608.toml", Readout), channel_columns=side // 8, channel_rows=side // 2
    )
    ranges = shipped("msc_detector_ranges.toml", DetectorRanges)
    device = draw_device(detector, ranges, readout, chosen["instrument_seed"])
    return replace(shot_of(plan, OBS_ID, detector), readout=readout, device=device)


def frames(detector: int) -> Iterator[Frame]:
    """Yield a detector's exposure at every diffusion: stars and noise are the same.

    Dark current is subtracted as it is expected, so that its noise stays, and pixels are rounded
    to whole adu.
    """
    chosen = parameters()
    shot = shot_with(detector, chosen)
    device, time = shot.device, chosen["exposure_time_s"]
    photons, noise, *particles = np.random.default_rng([chosen["seed"], detector]).spawn(
        2 + len(chosen["diffusion_pixel"])
    )
    sky, truth = draw_scene(shot)
    sky = add_sky(sky, shot)
    silent = replace(shot, effects=replace(shot.effects, photon_noise=False))
    expected = expose(replace(sky, data=sky.data.copy()), silent, rng=photons).data
    dark = np.float32(device.dark * time)
    expected_bad = np.zeros(expected.shape, np.float32)
    np.add.at(expected_bad, (device.bad_rows, device.bad_columns), device.bad_dark * time)
    light = apply_brighter_fatter(expose(sky, shot, rng=photons), shot)
    read_noise = np.float32(device.read_noise.mean())
    readout_error = noise.normal(0, read_noise, expected.shape).astype(np.float32)
    gain = np.float32(device.gain.mean())
    meta = Meta(exposure_time=time * u.s, read_noise=read_noise * u.electron)
    for (diffusion, pixel), rng in zip(chosen["diffusion_pixel"].items(), particles, strict=True):
        here = replace(shot, device=replace(device, diffusion_pixel=pixel))
        image, hits = add_cosmic_rays(replace(light, data=light.data.copy()), here, rng=rng)
        image = saturate(image, here)
        saturated = image.data > SATURATED_SHARE * device.full_well
        image.data += readout_error
        image.data[:] = np.rint(image.data / gain) * gain - dark - expected_bad
        image.set_flag("saturated", saturated)
        image.flags[device.dead_rows, device.dead_columns] |= image.bit("bad")
        hot = device.bad_dark * time > read_noise**2
        image.flags[device.bad_rows[hot], device.bad_columns[hot]] |= image.bit("hot")
        image.meta = meta
        cores = _clean_cores(truth.table, hits.data)
        sigma = np.sqrt(expected + read_noise**2)
        yield Frame(detector, shot.meta.filter, diffusion, image, hits.data, sigma, cores)


def verified(detector: int) -> Iterator[Frame]:
    """Yield the frames of a detector; stop if one is not the frame that was committed."""
    known = dict(line.split()[::-1] for line in CHECKSUMS.read_text().splitlines())
    for frame in frames(detector):
        if frame.sha256() != known[frame.name]:
            raise SystemExit(
                f"frame {frame.name} is not the one in {CHECKSUMS.name}: csst-sim is not that of "
                f"commit {parameters()['simulator_commit']}"
            )
        yield frame


def _clean_cores(table, deposit: NDArray[np.float32]) -> NDArray[np.intp]:
    bright = table["signal_to_noise"] > CORE_SIGNAL_TO_NOISE
    chosen = (table["type"] == "star") & ~table["saturated"] & bright
    x, y = (np.rint(table[name][chosen].value).astype(int) - 1 for name in ("x", "y"))
    size = deposit.shape[0]
    away = (np.minimum(x, y) >= AWAY_PIXEL) & (np.maximum(x, y) < size - AWAY_PIXEL)
    clean = [
        (row, column)
        for row, column in zip(y[away], x[away], strict=True)
        if not deposit[
            row - AWAY_PIXEL : row + AWAY_PIXEL + 1, column - AWAY_PIXEL : column + AWAY_PIXEL + 1
        ].any()
    ]
    return np.array(clean, np.intp).reshape(-1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the checksums")
    arguments = parser.parse_args()
    lines = []
    for detector in parameters()["detectors"]:
        for frame in (frames if arguments.write else verified)(detector):
            hit = frame.deposit[frame.deposit > 3]
            print(
                f"{frame.name} {frame.filter}: {hit.size} pixels above 3 electrons, "
                f"{100 * np.mean(hit <= 10):.1f} % of them 3 to 10; {len(frame.cores)} star cores",
                flush=True,
            )
            lines.append(f"{frame.sha256()} {frame.name}\n")
    if arguments.write:
        CHECKSUMS.write_text("".join(lines))


if __name__ == "__main__":
    main()
