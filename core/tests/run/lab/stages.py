import logging
import os
import signal
import time
from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.table import QTable

from csstcore.api import (
    Image,
    InPlace,
    NotApplicable,
    Reference,
    Table,
    UnprocessableData,
    caveat,
    metric,
    replace,
)


def add(image: InPlace[Image], *, value: float = 1.0) -> Image:
    image.data += np.float32(value)
    return image


def measure(image: Image) -> Annotated[Table, "catalog"]:
    metric("mean", float(image.data.mean()))
    return Table(QTable({"flux": image.data.sum(axis=1).astype("f4")}), image.meta)


def refuse(image: InPlace[Image], *, below: float = 0.0) -> Image:
    if image.data.mean() < below:
        raise UnprocessableData(f"mean is {image.data.mean():.1f}, below {below}")
    image.data *= np.float32(1)
    return image


def skip(image: Image) -> Annotated[Table, "catalog"]:
    raise NotApplicable("nothing to measure")


def nothing(image: Image) -> Annotated[Image, "second"]:
    raise NotApplicable("no second image")


def fail(image: Image) -> Annotated[Table, "catalog"]:
    logging.getLogger("csst_lab").warning("about to fail on %s", image.meta.obs_id)
    raise ValueError("a bug in the stage")


class Speechless(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def fail_without_text(image: Image) -> Annotated[Table, "catalog"]:
    """Raise an exception whose text cannot be had."""
    raise Speechless


def die(image: Image, *, detector: int) -> Annotated[Table, "catalog"]:
    if detector == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(image)


def warn(image: InPlace[Image]) -> Image:
    caveat("the sky is cloudy")
    return image


def wait(image: Image, *, seconds: float = 0.2) -> Annotated[Image, "image"]:
    time.sleep(seconds)
    return image


def noise(image: InPlace[Image], *, rng: np.random.Generator) -> Image:
    image.data += rng.normal(size=image.data.shape).astype(np.float32)
    return image


def offset(image: InPlace[Image], bias: Reference[Image] | None = None) -> Image:
    if bias is not None:
        image.data -= bias.data
    return image


def master(image: Image, bias: Reference[Image]) -> Annotated[Image, "image"]:
    return image


def flatten(image: Image, flat: Reference[Image]) -> Annotated[Image, "image"]:
    return image


def offset_all(images: Sequence[Image], bias: Reference[Image]) -> Annotated[Image, "combined"]:
    return images[0]


def hoard(image: InPlace[Image]) -> Image:
    raise MemoryError("1 TB")


def blur(image: Image) -> Annotated[Image, "blurred"]:
    """Shares its data with the input."""
    return replace(image)


def relabel(image: Image, background: Image | None = None) -> Annotated[Image, "image"]:
    metric("has_background", background is not None)
    return replace(image, unit=u.adu)


def combine(images: Sequence[Image]) -> Annotated[Image, "combined"]:
    metric("images", len(images))
    return Image(np.mean([image.data for image in images], axis=0), u.adu, meta=images[0].meta)


def burst(
    image: Image, *, number: int = 3
) -> tuple[Annotated[Sequence[Image], "frames"], Annotated[Sequence[Image], "offsets"]]:
    frames = [
        replace(image, data=image.data + index, meta=replace(image.meta, frame=index))
        for index in range(number)
    ]
    return frames, [replace(image, data=image.data * 0 + 1) for _ in frames]


def combine_one(image: Image) -> Annotated[Image, "image"]:
    return replace(image, data=image.data + 1)


def select(images: Sequence[Image]) -> Annotated[Sequence[Image | None], "images"]:
    return [image if image.data.mean() > 0 else None for image in images]


def pair(image: Image, other: Image) -> Annotated[Table, "catalog"]:
    difference = float(image.data.mean() - other.data.mean())
    return Table(QTable({"flux": np.array([difference], "f4")}), image.meta)


def align(
    images: Sequence[Image], others: Sequence[Image | None]
) -> Annotated[Sequence[Image], "images"]:
    metric("none", sum(other is None for other in others))
    return [
        replace(image, data=image.data - (0 if other is None else other.data))
        for image, other in zip(images, others, strict=True)
    ]


def gather(images: Sequence[Image], others: Sequence[Image | None]) -> Annotated[Image, "combined"]:
    for name, series in (("images", images), ("others", others)):
        means = ["none" if image is None else f"{image.data.mean():.0f}" for image in series]
        metric(name, " ".join(means))
    return images[0]


def name_brick(images: Sequence[Image], *, sky: int) -> Annotated[Table, "merged"]:
    metric("sky", sky)
    return Table(QTable({"flux": np.full(len(images), sky, "f4")}), images[0].meta)


def wrong(image: Image) -> Annotated[Table, "catalog"]:
    return image


def level(image: Image) -> float:
    return float(image.data.mean())


def preview(image: Image):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().imshow(image.data)
    return figure
