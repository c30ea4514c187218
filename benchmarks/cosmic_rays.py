"""Recall and precision of cosmic-ray detection on the committed test frames of every detector.

    python benchmarks/cosmic_rays.py                 # medians, curve, table by detector
    python benchmarks/cosmic_rays.py --peers         # other tools on the frame of one detector
    python benchmarks/cosmic_rays.py --full-frame    # time and memory on 9216 x 9232 pixels

`cosmic_ray_frames.py` makes the frames and checks them; it says which simulator it wants. Other
tools (astroscrappy, deepCR) are measured where they are installed. All tables are Markdown.
"""

import argparse
import resource
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
from cosmic_ray_frames import Frame, parameters, verified
from numpy.typing import NDArray

import csst_calib
import csst_msc
from csst_calib.cosmic_rays.network import open_network
from csst_calib.cosmic_rays.normalise import measure_background
from csst_calib.stages.cosmic_rays import detect_cosmic_rays
from csstcore.api import Onnx

BASE = Path(csst_calib.__file__).parent / "models" / "cosmic_rays.onnx"
RULES = Path(csst_msc.__file__).parent / "references" / "cosmic_ray_model.toml"
PEERS_DETECTOR = 8
PEERS_DIFFUSIONS = ("low", "large")
BINS = ((3, 5), (5, 10), (10, 20), (20, 40), (40, 100), (100, np.inf))
NOT_JUDGED = ("bad", "hot", "saturated")
PURITIES = (0.98, 0.985, 0.9867, 0.99, 0.995)
TITLES = (
    ["R > 3 e-", "R > 3 sigma", "P3", "P0.1"]
    + [f"{low}-{high}" if np.isfinite(high) else f"> {low}" for low, high in BINS]
    + ["star cores %"]
)
Mask = NDArray[np.bool_]


def model_of(detector: int) -> Onnx:
    """Return the network that the shipped rules choose for a detector."""
    for rule in tomllib.loads(RULES.read_text())["rule"]:
        if detector in rule["match"]["detector"]:
            return Onnx(RULES.parent / rule["file"])
    raise LookupError(f"no rule for detector {detector}")


def figures(frame: Frame, hit: Mask) -> list[float]:
    """Return what `TITLES` says; pixels flagged for another cause are left out."""
    judged = ~frame.image.flagged(*NOT_JUDGED)
    flagged, deposit, sigma = hit[judged], frame.deposit[judged], frame.sigma[judged]
    right = deposit[flagged]
    return [
        flagged[deposit > 3].mean(),
        flagged[deposit > 3 * sigma].mean(),
        (right > 3).mean(),
        (right > 0.1).mean(),
        *(flagged[(deposit > low) & (deposit <= high)].mean() for low, high in BINS),
        100 * (hit & judged)[tuple(frame.cores.T)].mean(),
    ]


def by_stage(frame: Frame, model: Onnx, **settings: object) -> Mask:
    image = replace(frame.image, flags=frame.image.flags.copy())
    return detect_cosmic_rays(image, model, **settings).flagged("cosmic_ray")


def curve(frame: Frame, model: Onnx) -> dict[tuple[str, float], tuple[float, float]]:
    """Return recall above 3 e- and 3 sigma at the lowest thresholds that keep a precision."""
    whole = tuple(slice(0, size) for size in frame.image.shape)
    level, noise = measure_background(frame.image.data).at(*whole)
    blind = frame.image.flagged("bad", "hot")
    probability = open_network(model).probability(frame.image.data, level, noise, blind)
    judged = ~frame.image.flagged(*NOT_JUDGED)
    values, deposit, sigma = probability[judged], frame.deposit[judged], frame.sigma[judged]
    order = np.argsort(-values)[: np.count_nonzero(values > 0.01)]
    ranked = deposit[order]
    number = np.arange(1, len(order) + 1)
    hits = np.cumsum(ranked > 3) / np.count_nonzero(deposit > 3)
    strong = np.cumsum(ranked > 3 * sigma[order]) / np.count_nonzero(deposit > 3 * sigma)
    found = {}
    for name, least in (("P0.1", 0.1), ("P3", 3.0)):
        precision = np.cumsum(ranked > least) / number
        for purity in PURITIES:
            last = np.flatnonzero(precision >= purity)[-1]
            found[name, purity] = float(hits[last]), float(strong[last])
    return found


def print_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    titles = list(titles)
    print("\n| " + " | ".join(titles) + " |")
    print("|---" * len(titles) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def cells(values: Iterable[float]) -> list[str]:
    *shares, cores = values
    return [f"{value:.4f}" for value in shares] + [f"{cores:.2f}"]


def compare_detectors(models: dict[str, Callable[[int], Onnx]]) -> None:
    """Print the medians over the detectors, the curve, and the figures of each detector."""
    chosen = parameters()
    results = {name: {} for name in models}
    curves = {}
    filters = {}
    for detector in chosen["detectors"]:
        for frame in verified(detector):
            key = frame.diffusion, detector
            filters[detector] = frame.filter
            for name, model in models.items():
                results[name][key] = figures(frame, by_stage(frame, model(detector)))
            curves[key] = curve(frame, next(iter(models.values()))(detector))
        print(f"detector {detector} done", flush=True)
    for diffusion, pixel in chosen["diffusion_pixel"].items():
        print(f"\nDiffusion {pixel} pixel ({diffusion}): medians over detectors, then the worst")
        rows = []
        for name, result in results.items():
            all_of_it = np.array([result[diffusion, number] for number in chosen["detectors"]])
            rows.append([name, *cells(np.median(all_of_it, axis=0))])
            worst = np.append(all_of_it[:, :-1].min(axis=0), all_of_it[:, -1].max())
            rows.append([f"{name}, worst", *cells(worst)])
        print_table(["network", *TITLES], rows)
        rows = []
        for name, purity in next(iter(curves.values())):
            pairs = [curves[diffusion, number][name, purity] for number in chosen["detectors"]]
            rows.append([f"{name} = {purity}", *(f"{x:.4f}" for x in np.median(pairs, axis=0))])
        print_table(["at", "R > 3 e-", "R > 3 sigma"], rows)
    name, result = next(iter(results.items()))
    rows = []
    for number in chosen["detectors"]:
        shown = [str(number), filters[number]]
        for diffusion in chosen["diffusion_pixel"]:
            recall, strong, three, tenth = result[diffusion, number][:4]
            shown.append(f"{recall:.3f} / {strong:.4f} / {three:.3f} / {tenth:.3f}")
        rows.append(shown)
    print(f"\n{name}: R > 3 e- / R > 3 sigma / P3 / P0.1")
    print_table(["detector", "filter", *chosen["diffusion_pixel"]], rows)


def peers() -> dict[str, Callable[[Frame], Mask]]:
    """Return other methods by name; tools that are not installed are left out."""
    base = Onnx(BASE)
    found: dict[str, Callable[[Frame], Mask]] = {
        "network": lambda frame: by_stage(frame, model_of(frame.detector)),
        "lacosmic 4.5, contrast 5": lambda frame: by_stage(frame, base, method="lacosmic"),
        "lacosmic 4.5, contrast 2": lambda frame: by_stage(
            frame, base, method="lacosmic", contrast=2.0
        ),
    }
    try:
        import astroscrappy
    except ImportError:
        pass
    else:
        for limit in (5.0, 2.0):
            found[f"astroscrappy 4.5, objlim {limit:.0f}"] = lambda frame, limit=limit: (
                astroscrappy.detect_cosmics(
                    frame.image.data,
                    inmask=frame.image.flagged(*NOT_JUDGED),
                    sigclip=4.5,
                    sigfrac=0.3,
                    objlim=limit,
                    gain=1.0,
                    readnoise=float(frame.image.meta.read_noise.to_value(u.electron)),
                    satlevel=90_000.0,
                )[0]
            )
    try:
        from deepCR import deepCR
    except ImportError:
        pass
    else:
        network = deepCR(mask="ACS-WFC", device="CPU")
        for threshold in (0.5, 0.1):
            found[f"deepCR ACS-WFC, threshold {threshold}"] = lambda frame, threshold=threshold: (
                network.clean(
                    frame.image.data, threshold=threshold, inpaint=False, segment=True, patch=1024
                ).astype(bool)
            )
    return found


def compare_peers(extra: list[Path]) -> None:
    """Print the figures of all methods on the frames of one detector, with their CPU time."""
    methods = peers()
    for path in extra:
        methods[path.stem] = lambda frame, path=path: by_stage(frame, Onnx(path))
    for frame in verified(PEERS_DETECTOR):
        if frame.diffusion not in PEERS_DIFFUSIONS:
            continue
        rows = []
        for name, method in methods.items():
            start = time.process_time()
            hit = method(frame)
            seconds = time.process_time() - start
            rows.append([name, *cells(figures(frame, hit)), f"{seconds:.1f}"])
        print(f"\nDiffusion {frame.diffusion}")
        print_table(["method", *TITLES, "CPU s"], rows)


def time_full_frame() -> None:
    """Time the network on a frame of 9216 x 9232 pixels made of copies of a small one."""
    (frame,) = (one for one in verified(PEERS_DETECTOR) if one.diffusion == "large")
    shape = (9232, 9216)
    times = [-(-length // size) for length, size in zip(shape, frame.image.shape, strict=True)]
    data, flags = (
        np.ascontiguousarray(np.tile(plane, times)[: shape[0], : shape[1]])
        for plane in (frame.image.data, frame.image.flags)
    )
    image = replace(frame.image, data=data, flags=flags)
    by_stage(frame, model_of(frame.detector))
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        detect_cosmic_rays(replace(image, flags=flags), model_of(frame.detector))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{image.shape}: {wall:.1f} s wall, {cpu:.1f} s CPU, peak {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="other tools, one detector")
    parser.add_argument("--model", type=Path, action="append", default=[], help="one more network")
    parser.add_argument("--full-frame", action="store_true", help="time one full frame")
    arguments = parser.parse_args()
    if arguments.full_frame:
        time_full_frame()
    elif arguments.peers:
        compare_peers(arguments.model)
    else:
        compare_detectors({"of the detector": model_of, "base": lambda _: Onnx(BASE)})


if __name__ == "__main__":
    main()
