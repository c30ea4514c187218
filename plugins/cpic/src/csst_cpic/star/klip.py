"""The star subtracted from a cube of frames, zone by zone; repeatable with added companions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_cpic.star.combination import combined
from csst_cpic.star.derotate import derotated, derotated_variance
from csst_cpic.star.klip_modes import klip_weights, most_correlated
from csst_cpic.star.nmf import nmf_models
from csst_cpic.star.reduction import Reduction
from csst_cpic.star.sky_frame import central_pixel
from csst_cpic.star.zones import Zone, zones_of
from csstcore.api import UnprocessableData, each

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ReducedCube:
    """What is left of a cube without its star, North up and East left."""

    image: Float32
    """Combined residual, shape (rows, columns); NaN where no frame counts."""
    variance: Float32 | None
    """Of `image`, propagated through the model; None without variances of the cube."""
    count: NDArray[np.int32]
    """Number of frames in each pixel of `image`."""
    residuals: Float32
    """Residual of each frame, not turned; shape (frames, rows, columns)."""


def reduce_cube(
    cube: Float32,
    angles_deg: NDArray[np.float64],
    reduction: Reduction,
    library: Float32 | None = None,
    variance: Float32 | None = None,
) -> ReducedCube:
    """Subtract the star from a cube, turn its frames North up and East left and combine them.

    Parameters, errors and method are those of `StarSubtraction`.
    """
    return StarSubtraction(cube, angles_deg, reduction, library, variance).result()


class StarSubtraction:
    """A subtraction of the star that can be repeated with companions added.

    In each zone, a sector of an annulus, the star is modelled by the leading Karhunen-Loeve
    modes (Soummer, Pueyo & Larkin 2012, ApJ 755, L28) or non-negative components (Ren et al.
    2018, ApJ 852, 104) of other frames of the series, of a library, or of both, without those
    on which a companion would overlap itself. A pixel of a reference without a value gets the
    mean of that pixel over the frames.

    Parameters
    ----------
    cube
        Frames with the star on `csst_cpic.star.sky_frame.central_pixel`, shape (frames, rows,
        columns). Pixels that are NaN, as those flagged should be, do not count.
    angles_deg
        Position angle of +y of each frame, North through East, without the offset of the
        instrument that `reduction` holds. A companion turns clockwise in frames of growing
        angle; frames turn counter-clockwise by their angle to have North up.
    reduction
        All settings.
    library
        Frames of stars without companions, for the modes rdi and adi+rdi; the shape of frames
        is that of `cube`.
    variance
        Of `cube`, its shape; gives the variance of the result. The weights of a weighted
        combination do not depend on it: they are 1 / variance of a pixel over the residual frames.

    Raises
    ------
    UnprocessableData
        If shapes do not fit, the library is missing, a single frame or frames of equal angles
        are to model each other, or no zone has enough references.
    """

    def __init__(
        self,
        cube: Float32,
        angles_deg: NDArray[np.float64],
        reduction: Reduction,
        library: Float32 | None = None,
        variance: Float32 | None = None,
    ) -> None:
        angles = np.asarray(angles_deg, np.float64)
        _check(cube, angles, reduction, library, variance)
        self.reduction = reduction
        self.angles_deg = angles
        self.shape = (cube.shape[1], cube.shape[2])
        self._cube = cube
        self._library = None if reduction.mode == "adi" else library
        self._variance = variance
        self.zones = zones_of(self.shape, reduction)
        self._allowed = [self._references(zone) for zone in self.zones]
        self.references = np.array([allowed.sum(axis=1) for allowed in self._allowed])
        """Number of reference frames, shape (zones, frames)."""
        if not (self.references >= reduction.minimum_references).any():
            raise UnprocessableData(_no_references(self.zones, angles, reduction))
        self._residuals = np.full(cube.shape, np.nan, np.float32)
        self._noise = None if variance is None else np.full(cube.shape, np.nan, np.float32)
        self._subtract(cube, range(len(self.zones)), self._residuals, self._noise)

    def result(
        self, signal: Float32 | None = None, where: NDArray[np.bool_] | None = None
    ) -> ReducedCube:
        """Return the residual, or that of the cube with a signal added.

        Only zones in which the signal is not zero are modelled again.

        Parameters
        ----------
        signal
            What to add to the cube, its shape: companions, positive or negative.
        where
            Pixels of the image that are wanted, shape (rows, columns); the others stay NaN.
        """
        residuals, noise = self._residuals, self._noise
        if signal is not None:
            touched = self._touched(signal)
            residuals = residuals.copy()
            noise = None if noise is None else noise.copy()
            self._subtract(self._cube + signal, touched, residuals, noise)
        row, column = central_pixel(self.shape)
        y, x = np.ogrid[: self.shape[0], : self.shape[1]]
        wanted = np.hypot(y - row, x - column) < self.reduction.outer_radius_pixel + 1
        pixels = np.flatnonzero(wanted if where is None else wanted & where)
        return self._combine(residuals, noise, pixels)

    def _references(self, zone: Zone) -> NDArray[np.bool_]:
        """Return which references may model which frame; shape (frames, references)."""
        count = len(self.angles_deg)
        sets = []
        if "adi" in self.reduction.mode.split("+"):
            turn = np.abs(self.angles_deg[:, np.newaxis] - self.angles_deg) % 360.0
            arc = zone.radius_pixel * np.radians(np.minimum(turn, 360.0 - turn))
            moved = arc > self.reduction.exclusion_fwhm * self.reduction.fwhm_pixel
            sets.append(moved & ~np.eye(count, dtype=bool))
        if self._library is not None:
            sets.append(np.ones((count, len(self._library)), bool))
        return np.concatenate(sets, axis=1)

    def _touched(self, signal: Float32) -> list[int]:
        changed = (signal != 0).any(axis=0).ravel()
        return [k for k, zone in enumerate(self.zones) if changed[zone.pixels].any()]

    def _subtract(
        self, cube: Float32, zones: list[int] | range, residuals: Float32, noise: Float32 | None
    ) -> None:
        """Fill in the residuals of zones, and their variance."""

        def subtract(number: int) -> None:
            pixels = self.zones[number].pixels
            enough = self.references[number] >= self.reduction.minimum_references
            if not enough.any():
                return
            variance = None if self._variance is None else _at(self._variance, pixels)
            library = None if self._library is None else _at(self._library, pixels)
            left, error = _residual(
                _at(cube, pixels), library, self._allowed[number], self.reduction, variance
            )
            left[:, ~enough] = np.nan
            residuals.reshape(len(cube), -1)[:, pixels] = left.T
            if noise is not None and error is not None:
                noise.reshape(len(cube), -1)[:, pixels] = error.T

        each(subtract, zones)

    def _combine(
        self, residuals: Float32, noise: Float32 | None, pixels: NDArray[np.intp]
    ) -> ReducedCube:
        turned = derotated(residuals, self.angles_deg, pixels)
        error, weights = None, None
        if noise is not None:
            error = derotated_variance(noise, self.angles_deg, pixels)
        if self.reduction.combination == "weighted":
            scatter = derotated_variance(_scatter(residuals), self.angles_deg, pixels)
            with np.errstate(divide="ignore"):
                weights = np.float32(1) / scatter
        mean, variance, count = combined(turned, self.reduction.combination, error, weights)
        image = _plane(self.shape, pixels, mean)
        sigma2 = None if noise is None else _plane(self.shape, pixels, variance)
        number = np.zeros(self.shape, np.int32)
        number.ravel()[pixels] = count
        return ReducedCube(image, sigma2, number, residuals)


def _plane(shape: tuple[int, int], pixels: NDArray[np.intp], values: Float32) -> Float32:
    plane = np.full(shape[0] * shape[1], np.nan, np.float32)
    plane[pixels] = values
    return plane.reshape(shape)


def _at(cube: Float32, pixels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the pixels of a zone, shape (pixels, frames)."""
    return np.ascontiguousarray(cube.reshape(len(cube), -1)[:, pixels].T, np.float64)


def _residual(
    frames: NDArray[np.float64],
    library: NDArray[np.float64] | None,
    allowed: NDArray[np.bool_],
    reduction: Reduction,
    variance: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the residuals of a zone and their variance, NaN where frames have no value."""
    valid = np.isfinite(frames)
    centred = reduction.method == "klip"
    frames = _filled(frames, centred)
    parts = [] if reduction.mode == "rdi" else [frames]
    if library is not None:
        parts.append(_filled(library, centred))
    references = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    if reduction.most_correlated:
        means = (frames.mean(axis=0), references.mean(axis=0))
        allowed = most_correlated(
            frames - means[0], references - means[1], allowed, reduction.most_correlated
        )
    if reduction.method == "nmf":
        models = nmf_models(frames.T, references.T, allowed, reduction.components)
        return np.where(valid, frames - models.T, np.nan), variance
    weights = klip_weights(frames, references, allowed, reduction.components)
    residual = np.where(valid, frames - references @ weights.T, np.nan)
    if variance is None:
        return residual, None
    error = variance.copy()
    if reduction.mode != "rdi":
        own = weights[:, : frames.shape[1]].T
        error += np.where(valid & np.isfinite(variance), variance, 0.0) @ own**2
    return residual, error


def _filled(frames: NDArray[np.float64], centred: bool) -> NDArray[np.float64]:
    """Return frames without NaN, each minus its mean if `centred`."""
    valid = np.isfinite(frames)
    if valid.all():
        return frames - frames.mean(axis=0) if centred else frames
    if centred:
        number = np.maximum(valid.sum(axis=0), 1)
        frames = frames - np.where(valid, frames, 0.0).sum(axis=0) / number
    number = np.maximum(valid.sum(axis=1, keepdims=True), 1)
    mean = np.where(valid, frames, 0.0).sum(axis=1, keepdims=True) / number
    return np.where(valid, frames, mean)


def _scatter(residuals: Float32) -> Float32:
    """Return the variance of each pixel over the residual frames (Bottom et al. 2017)."""
    valid = np.isfinite(residuals)
    number = valid.sum(axis=0)
    values = np.where(valid, residuals, np.float32(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = values.sum(axis=0) / number
        square = np.einsum("fyx,fyx->yx", values, values) / number
        return np.asarray(np.where(number > 1, square - mean**2, np.nan), np.float32)


def _check(
    cube: Float32,
    angles: NDArray[np.float64],
    reduction: Reduction,
    library: Float32 | None,
    variance: Float32 | None,
) -> None:
    """Refuse what cannot be reduced, with the cause."""
    if cube.ndim != 3:
        raise UnprocessableData(f"the cube has shape {cube.shape}; expected (frames, y, x)")
    if angles.shape != (len(cube),) or not np.isfinite(angles).all():
        raise UnprocessableData(
            f"{len(cube)} frames need as many finite position angles; found {angles.shape}"
        )
    if variance is not None and variance.shape != cube.shape:
        raise UnprocessableData(f"variance has shape {variance.shape}; expected {cube.shape}")
    if reduction.mode != "adi":
        if library is None or not len(library):
            raise UnprocessableData(f"mode {reduction.mode} needs a library of reference frames")
        if library.shape[1:] != cube.shape[1:]:
            raise UnprocessableData(
                f"library frames have shape {library.shape[1:]}; expected {cube.shape[1:]}"
            )
    if reduction.mode == "adi":
        if len(cube) < 2:
            raise UnprocessableData("a single frame cannot be modelled by the others (mode adi)")
        if np.ptp(np.unwrap(np.sort(angles), period=360.0)) < 1e-6:
            raise UnprocessableData(
                f"all {len(cube)} frames have the position angle {angles[0]:.3f} deg: without "
                "rotation a companion would be subtracted with the star (mode adi)"
            )


def _no_references(zones: list[Zone], angles: NDArray[np.float64], reduction: Reduction) -> str:
    if not zones:
        return (
            f"no pixel lies between inner_radius_pixel = {reduction.inner_radius_pixel} and "
            f"outer_radius_pixel = {reduction.outer_radius_pixel}"
        )
    return (
        f"no frame has {reduction.minimum_references} frames to model it at any radius: the "
        f"position angles span {np.ptp(angles):.2f} deg, and exclusion_fwhm = "
        f"{reduction.exclusion_fwhm} leaves out frames within "
        f"{reduction.exclusion_fwhm * reduction.fwhm_pixel:.1f} pixels along the arc"
    )
