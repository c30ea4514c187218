"""`Experiment`: a reduction that is repeated with point sources added or taken away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csst_cpic.planets.point_source import PointSource
from csst_cpic.star.klip import StarSubtraction
from csst_cpic.star.sky_frame import central_pixel, to_offsets


@dataclass(frozen=True)
class Source:
    """A point source on the sky."""

    contrast: float
    """Flux over that of the star."""
    separation_pixel: float
    position_angle_deg: float


@dataclass(frozen=True, eq=False)
class Experiment:
    """A reduced cube, and the star's own image."""

    subtraction: StarSubtraction
    star: PointSource
    photon_variance: float = 0.0
    """Variance of the noise that a unit of flux brings along: 1 for electrons of a CCD, about 2
    behind a multiplying register."""

    @property
    def fwhm_pixel(self) -> float:
        """Full width at half maximum of the star."""
        return self.subtraction.reduction.fwhm_pixel

    def image(
        self,
        add: Iterable[Source] = (),
        take: Iterable[Source] = (),
        radii_pixel: tuple[float, float] | None = None,
        where: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return the reduced image of the cube with sources added and taken away.

        Parameters
        ----------
        add, take
            The sources.
        radii_pixel
            The image is wanted only between these radii: sources are not put farther out or in,
            where they would not matter, as zones are modelled each by itself.
        where
            Pixels of the image that are wanted; the others are NaN.
        """
        signal = self.signal(add, take)
        if radii_pixel is not None:
            radius = self.radius()
            signal[:, (radius < radii_pixel[0]) | (radius > radii_pixel[1])] = 0
        return self.subtraction.result(signal, where).image

    def signal(
        self, add: Iterable[Source] = (), take: Iterable[Source] = ()
    ) -> NDArray[np.float32]:
        """Return what sources add to the cube and take from it; its shape."""
        signal = np.zeros((len(self.star.angles_deg), *self.subtraction.shape), np.float32)
        for sign, sources in ((1.0, add), (-1.0, take)):
            for source in sources:
                place = source.separation_pixel, source.position_angle_deg
                self.star.add(signal, sign * source.contrast, *place)
        return signal

    def radius(self) -> NDArray[np.float64]:
        """Return the distance of each pixel from the star."""
        row, column = central_pixel(self.subtraction.shape)
        y, x = np.ogrid[: self.subtraction.shape[0], : self.subtraction.shape[1]]
        return np.asarray(np.hypot(y - row, x - column))

    def distance(self, source: Source) -> NDArray[np.float64]:
        """Return the distance of each pixel of the image from a source."""
        row, column = central_pixel(self.subtraction.shape)
        dx, dy = to_offsets(source.separation_pixel, source.position_angle_deg)
        y, x = np.ogrid[: self.subtraction.shape[0], : self.subtraction.shape[1]]
        return np.asarray(np.hypot(y - row - dy, x - column - dx))
