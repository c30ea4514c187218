"""`PointSource`: the star's own image, put anywhere into the frames of a cube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from csst_cpic.star.sky_frame import central_pixel, to_offsets

_ORDER = 5

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PointSource:
    """A point source in the frames of a cube whose star is on the central pixel.

    Its image is a quintic spline through the pixels of the measured one, zero outside of
    them: a band-limited image with a FWHM of three pixels shifts to better than 0.1 % of its
    peak.
    """

    image: Float
    """Unit contrast, centred on the central pixel."""
    coefficients: Float
    """Spline coefficients of `image`."""
    angles_deg: Float
    """Position angle of each frame's +y axis, shape (frames,)."""
    scales: Float
    """The star's flux in each frame over that of the image, shape (frames,)."""

    @classmethod
    def of(
        cls, star: NDArray[np.float32], angles_deg: NDArray[np.float64], scales: Float
    ) -> PointSource:
        """Make one from the image of the star without coronagraph (odd, centred)."""
        image = np.asarray(star, np.float64)
        coefficients = spline_filter(image, _ORDER, mode="grid-constant")
        return cls(image, coefficients, angles_deg, scales)

    def add(
        self,
        cube: NDArray[np.float32],
        contrast: float,
        separation_pixel: float,
        position_angle_deg: float,
    ) -> None:
        """Add a source to a cube, in place.

        Parameters
        ----------
        cube
            Shape (frames, rows, columns), changed.
        contrast
            Flux over that of the star; negative takes a source away.
        separation_pixel, position_angle_deg
            Where it is on the sky.
        """
        row, column = central_pixel(cube.shape)
        dx, dy = to_offsets(separation_pixel, position_angle_deg, self.angles_deg)
        for frame, x, y, scale in zip(cube, column + dx, row + dy, self.scales, strict=True):
            self._stamp(frame, contrast * scale, x, y)

    def _stamp(self, frame: NDArray[np.float32], flux: float, x: float, y: float) -> None:
        """Add the image centred on (x, y), from 0, to what of it lies within the frame."""
        rows, columns = self.coefficients.shape
        half_y, half_x = rows // 2, columns // 2
        y_first, x_first = max(round(y) - half_y, 0), max(round(x) - half_x, 0)
        y_end = min(round(y) + half_y + 1, frame.shape[0])
        x_end = min(round(x) + half_x + 1, frame.shape[1])
        if y_first >= y_end or x_first >= x_end:
            return
        grid = np.mgrid[y_first:y_end, x_first:x_end].astype(np.float64)
        grid[0] += half_y - y
        grid[1] += half_x - x
        values = map_coordinates(
            self.coefficients, grid, order=_ORDER, mode="grid-constant", prefilter=False
        )
        frame[y_first:y_end, x_first:x_end] += (flux * values).astype(np.float32)
