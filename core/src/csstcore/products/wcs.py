"""`Wcs`: a world-coordinate solution on its way from a solver to an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from csstcore.products.meta import Meta

if TYPE_CHECKING:
    from astropy.wcs import WCS


@dataclass(slots=True, eq=False)
class Wcs:
    """A solution as `astropy.wcs.WCS`."""

    wcs: WCS
    meta: Meta = field(default_factory=Meta)
