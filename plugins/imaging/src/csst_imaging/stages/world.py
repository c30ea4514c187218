"""Putting world-coordinate solutions on images, and taking them from catalogues."""

from __future__ import annotations

from typing import Annotated

from csstcore.api import Image, Table, UnprocessableData, Wcs, replace


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


def get_wcs(catalog: Table) -> Annotated[Wcs, "wcs"]:
    """Take the world coordinates that a catalogue carries.

    Parameters
    ----------
    catalog
        Sources of an image.

    Returns
    -------
    Wcs
        The coordinates of that image, solved or as commanded.

    Raises
    ------
    UnprocessableData
        It carries none.
    """
    if catalog.wcs is None:
        raise UnprocessableData(
            f"the catalogue of detector {catalog.meta.detector} carries no world coordinates"
        )
    return Wcs(catalog.wcs, meta=catalog.meta)
