"""`Distortion`: how the detectors of a focal plane see it, as a reference."""

from __future__ import annotations

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from csst_imaging.columns import values
from csst_imaging.position.polynomial import basis
from csstcore.api import Meta, UnprocessableData


@dataclass(slots=True, eq=False)
class Distortion:
    """Displacements that take pixels of each detector to ideal pixels.

    Ideal pixels are those of the gnomonic solution in the headers of the exposure (CRPIX and
    CD matrix as commanded). With ``u = (x - x_zero) / x_scale`` and v alike, the displacement
    along an axis is a polynomial with the terms 1, u, v, u^2, u v, v^2 .., plus a table of
    residuals, linear between nodes that are evenly spread over u and v from -1 to 1.
    """

    detectors: QTable
    """One row per detector: ``detector``, ``x_zero``, ``y_zero``, ``x_scale``, ``y_scale``
    (pixel), ``stars``, ``rms`` (mas)."""
    polynomial: NDArray[np.float64]
    """Shape (detectors, 2, terms), pixel."""
    residual: NDArray[np.float32] | None = None
    """Shape (detectors, 2, nodes along v, nodes along u), pixel."""
    meta: Meta = field(default_factory=Meta)

    def __post_init__(self) -> None:
        number = len(self.detectors)
        shapes = [self.polynomial.shape[:2]]
        shapes += [] if self.residual is None else [self.residual.shape[:2]]
        if any(shape != (number, 2) for shape in shapes) or self.polynomial.ndim != 3:
            raise ValueError(
                f"a Distortion of {number} detectors needs {number} x 2 polynomials and tables; "
                f"found {' and '.join(map(str, shapes))}"
            )

    @property
    def degree(self) -> int:
        """Degree of the polynomials."""
        return int(np.sqrt(2 * self.polynomial.shape[2])) - 1

    def row(self, detector: object) -> int:
        """Return the row of a detector.

        Raises
        ------
        UnprocessableData
            There is none.
        """
        known = [str(name) for name in self.detectors["detector"]]
        if str(detector) not in known:
            raise UnprocessableData(
                f"the distortion reference has no detector {detector}; it has {', '.join(known)}"
            )
        return known.index(str(detector))

    def scaled(self, detector: object, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return FITS pixels (n, 2) as u and v, (n, 2)."""
        row = self.row(detector)
        zero, scale = (
            [values(self.detectors, f"{axis}_{name}", u.pixel)[row] for axis in "xy"]
            for name in ("zero", "scale")
        )
        return np.asarray((pixel - zero) / scale)

    def displace(self, detector: object, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the ideal pixels of FITS pixels of a detector, shape (n, 2) both."""
        row = self.row(detector)
        scaled = self.scaled(detector, pixel)
        ideal = pixel + basis(scaled, self.degree) @ self.polynomial[row].T
        if self.residual is not None:
            ideal += between_nodes(self.residual[row], scaled)
        return np.asarray(ideal)


def node_weights(
    scaled: NDArray[np.float64], nodes: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return for points in -1 .. 1 their four nodes (4, n) and the weights of linear interpolation.

    Parameters
    ----------
    scaled
        u and v, shape (n, 2); what lies outside is taken to the edge.
    nodes
        Number of nodes along v and u; node (j, i) has the index ``j * nodes[1] + i``.
    """
    size = np.array(nodes[::-1]) - 1
    at = (np.clip(np.nan_to_num(scaled), -1.0, 1.0) + 1.0) / 2.0 * size
    low = np.minimum(at.astype(np.intp), size - 1)
    part = at - low
    column, row = low.T
    index, weight = [], []
    for dy in (0, 1):
        for dx in (0, 1):
            index.append((row + dy) * nodes[1] + column + dx)
            along_x = part[:, 0] if dx else 1.0 - part[:, 0]
            weight.append(along_x * (part[:, 1] if dy else 1.0 - part[:, 1]))
    return np.stack(index), np.stack(weight)


def between_nodes(table: NDArray[np.float32], scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a table (2, nodes, nodes) at points in -1 .. 1, shape (n, 2)."""
    index, weight = node_weights(scaled, (table.shape[1], table.shape[2]))
    flat = table.reshape(2, -1)
    return np.stack([np.sum(flat[axis][index] * weight, axis=0) for axis in range(2)], axis=-1)
