"""Putting a world-coordinate solution on an image."""

from __future__ import annotations

from typing import Annotated

from csstcore.api import Image, Wcs, replace


def set_wcs(image: Image, wcs: Wcs) -> Annotated[Image, "image"]:
    """Put a world-coordinate solution on an image.

    Parameters
    ----------
    image
        Any image.
    wcs
        The solution.

    Returns
    -------
    Image
        The image with `wcs`; it shares all planes.
    """
    return replace(image, wcs=wcs.wcs)
