"""Pictures of point-spread functions."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from csst_imaging.psf.field_shapes import field_shapes
from csstcore.api import Psf

STAMPS, WHISKERS = 5, 12
SHOWN_FWHM = 2.5
FAINTEST = 1e-3


def psf_field(psf: Psf) -> Figure:
    """Show the PSF at places of the field, its width and its ellipticity.

    Parameters
    ----------
    psf
        Any point-spread function. Left: samples, logarithmic, the whole range from the peak
        to a thousandth. Right: FWHM, with whiskers along the major axis, their length the
        ellipticity.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    few = field_shapes(psf, STAMPS)
    middle = psf.samples.shape[1] // 2
    typical = float(np.nanmedian(few.fwhm)) if np.isfinite(few.fwhm).any() else 4 * psf.step_pixel
    half = int(min(middle, np.ceil(SHOWN_FWHM * typical / psf.step_pixel)))
    cut = few.samples[:, middle - half : middle + half + 1, :]
    cut = cut[:, :, psf.samples.shape[2] // 2 - half : psf.samples.shape[2] // 2 + half + 1]
    peak = max(float(cut.max()), 1e-30)
    tiles = cut.reshape(STAMPS, STAMPS, *cut.shape[1:]).swapaxes(1, 2)
    mosaic = np.log10(np.maximum(tiles.reshape(STAMPS * cut.shape[1], -1) / peak, FAINTEST))
    x0, x1 = (psf.zero[0] + sign * psf.scale[0] / 2 for sign in (-1, 1))
    y0, y1 = (psf.zero[1] + sign * psf.scale[1] / 2 for sign in (-1, 1))
    extent = (x0, x1, y0, y1)
    shown = left.imshow(mosaic, origin="lower", cmap="magma", extent=extent, aspect="equal")
    figure.colorbar(shown, ax=left, label="log10 of value over peak", shrink=0.8)
    left.set_title("PSF, enlarged, at places of the field")
    many = field_shapes(psf, WHISKERS)
    grid = many.fwhm.reshape(WHISKERS, WHISKERS)
    shown = right.imshow(grid, origin="lower", cmap="viridis", extent=extent, aspect="equal")
    figure.colorbar(shown, ax=right, label="FWHM [pixel]", shrink=0.8)
    angle = np.nan_to_num(0.5 * np.arctan2(many.e2, many.e1))
    length = np.nan_to_num(many.ellipticity)
    right.quiver(
        *(many.x, many.y, length * np.cos(angle), length * np.sin(angle)),
        **{"headwidth": 0, "headlength": 0, "headaxislength": 0},
        pivot="mid",
        color="white",
        scale=WHISKERS * max(float(length.max()), 1e-3),
    )
    right.set_title(f"FWHM and ellipticity (largest {length.max():.3f})")
    for axes in (left, right):
        axes.set_xlabel("x [pixel]")
        axes.set_ylabel("y [pixel]")
    return figure
