"""Products of a series on disk: planes as ``.npy``, opened again as copy-on-write maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from csstcore.products.planes import Plane, map_planes

P = TypeVar("P")

SMALLEST_SPOOLED_BYTES = 1 << 20
"""Planes below this size stay in memory: a map costs more than it frees."""


@dataclass
class Spool:
    """A scratch folder of planes; the caller removes the folder."""

    folder: Path
    _numbers: count[int] = field(default_factory=count)

    def put(self, product: P) -> P:
        """Return `product` with its large planes on disk, mapped copy-on-write.

        What a stage writes into such a plane stays in its process; the file never changes.
        """
        return map_planes(product, self._spooled)

    def _spooled(self, _path: str, plane: Plane) -> Plane:
        if (
            plane.nbytes < SMALLEST_SPOOLED_BYTES
            or plane.dtype.hasobject
            or type(plane) is not np.ndarray
        ):
            return plane
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{next(self._numbers):06d}.npy"
        np.save(file, plane, allow_pickle=False)
        mapped: Any = np.load(file, mmap_mode="c", allow_pickle=False)
        file.unlink()  # The map keeps the blocks; they are freed with it, however we end.
        # A plain array over the map: stages must not meet a subclass.
        return np.asarray(mapped).view(np.ndarray)
