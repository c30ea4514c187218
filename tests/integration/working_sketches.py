"""Stages of four back-ends at their smallest, with bodies: what a run must do with series."""

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from astropy.wcs import WCS

from csstcore.api import (
    Image,
    InPlace,
    Mask,
    Spectra,
    UnprocessableData,
    Wcs,
    metric,
    replace,
)


def level(spectra: Spectra) -> float:
    return float(spectra.flux[0, 0])


def image_of(spectra: Spectra) -> Image:
    return Image(np.asarray(spectra.flux, np.float32), u.adu, meta=spectra.meta)


# --- cpic: one mask for each frame, from all frames


def flag_cosmic_rays(frames: Sequence[Image]) -> Annotated[Sequence[Mask], "cosmic_rays"]:
    median = np.median([frame.data for frame in frames], axis=0)
    return [Mask(frame.data > median + 5) for frame in frames]


def set_flags(image: InPlace[Image], cosmic_rays: Mask) -> Image:
    if image.flags is None:
        image.flags = np.zeros(image.data.shape, np.uint16)
    image.flags[cosmic_rays.mask] |= image.flag_bits["cosmic_ray"]
    metric("flagged", int(cosmic_rays.mask.sum()))
    return image


# --- hstdm: dumps changed in place, the off positions vanish


def read_dumps(image: Image) -> Annotated[Spectra, "dumps"]:
    axis = np.arange(image.data.shape[1]) * u.GHz
    return Spectra(image.data.copy(), axis, u.adu, meta=image.meta)


def calibrate(dumps: InPlace[Spectra]) -> Spectra:
    if level(dumps) < 0:
        raise UnprocessableData("negative power")
    dumps.flux *= 2
    return dumps


def subtract_off(dumps: Sequence[Spectra]) -> Annotated[Sequence[Spectra | None], "dumps"]:
    """Every second dump is off the source, and belongs to the one before."""
    result: list[Spectra | None] = []
    for on, off in zip(dumps[::2], dumps[1::2], strict=True):
        result += [replace(on, flux=on.flux - off.flux), None]
    return result


def shift_to_lsrk(dumps: Spectra) -> Annotated[Spectra, "dumps"]:
    return replace(dumps, flux=dumps.flux + 1)


def average(dumps: Sequence[Spectra]) -> Annotated[Image, "spectrum"]:
    metric("levels", " ".join(f"{level(dump):.0f}" for dump in dumps))
    return image_of(replace(dumps[0], flux=np.mean([dump.flux for dump in dumps], axis=0)))


# --- ifs: a position for each exposure, or none


def extract_slices(image: Image) -> Annotated[Spectra, "spectra"]:
    if image.data[0, 0] < 0:
        raise UnprocessableData("no light")
    return Spectra(image.data[:2], np.arange(image.data.shape[1]) * u.nm, u.adu, meta=image.meta)


def register(spectra: Sequence[Spectra]) -> Annotated[Sequence[Wcs | None], "wcs"]:
    result: list[Wcs | None] = []
    for each in spectra:
        wcs = WCS(naxis=2)
        wcs.wcs.crval = [level(each), 0]
        result.append(Wcs(wcs) if level(each) != 2 else None)
    return result


def build_cube(spectra: Sequence[Spectra], wcs: Sequence[Wcs | None]) -> Annotated[Image, "cube"]:
    found = [
        f"{level(one):.0f}:{'none' if position is None else f'{position.wcs.wcs.crval[0]:.0f}'}"
        for one, position in zip(spectra, wcs, strict=True)
    ]
    metric("pairs", " ".join(found))
    return image_of(spectra[0])


# --- sls: several dispersions of one field, each with the direct image beside it


def extract_joint(images: Sequence[Image], directs: Sequence[Image]) -> Annotated[Image, "joint"]:
    metric("images", " ".join(f"{image.data.mean():.0f}" for image in images))
    metric("directs", " ".join(f"{image.data.mean():.0f}" for image in directs))
    if len(images) != len(directs):
        raise UnprocessableData(f"{len(images)} dispersed images, {len(directs)} direct ones")
    return images[0]
