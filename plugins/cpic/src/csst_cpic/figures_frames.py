"""Pictures of frames on their way to a cube, for the report."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from matplotlib.figure import Figure

from csstcore.api import Image, NotApplicable, Table

_MARKED_PIXEL = 1.0


def star_places(frames: Table) -> Figure:
    """Place of the star in every frame, and the position angle of the frame.

    Parameters
    ----------
    frames
        Of `register_frames`.
    """
    table = frames.table
    if not len(table):
        raise NotApplicable("no frame was registered")
    x, y = table["x"].to_value(u.pix), table["y"].to_value(u.pix)
    plane = np.asarray(table["plane"])
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    points = left.scatter(x, y, c=plane, s=14)
    figure.colorbar(points, ax=left, label="frame")
    left.set(xlabel="x [pixel]", ylabel="y [pixel]", title="star", aspect="equal")
    left.margins(0.2)
    half = max(_MARKED_PIXEL, float(np.ptp(x)), float(np.ptp(y)))
    left.set_xlim(np.mean(x) - half, np.mean(x) + half)
    left.set_ylim(np.mean(y) - half, np.mean(y) + half)
    right.plot(plane, table["position_angle"].to_value(u.deg), ".")
    right.set(xlabel="frame", ylabel="position angle of +y [deg]", title="rotation")
    return figure


def coadded_frames(coadd: Image) -> Figure:
    """Mean of all frames with the star, North up and East left.

    Parameters
    ----------
    coadd
        Of the stage of that name.
    """
    good = np.isfinite(coadd.data)
    if not good.any():
        raise NotApplicable("the coadded image has no values")
    low, middle, high = np.percentile(coadd.data[good], (1, 50, 99.9))
    spread = max(float(middle - low), 1e-3 * float(high - low), float(np.finfo(np.float32).tiny))
    shown = np.arcsinh((coadd.data - middle) / spread)
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    axes = figure.subplots()
    top = float(np.arcsinh((high - middle) / spread))
    half = coadd.shape[1] / 2
    image = axes.imshow(
        shown, origin="lower", vmin=-1, vmax=max(top, 1), extent=(-half, half, -half, half)
    )
    figure.colorbar(image, ax=axes, label=f"arcsinh(value - {middle:.3g}) / {spread:.2g}")
    axes.set(xlabel="to the West [pixel]", ylabel="to the North [pixel]", title=str(coadd.unit))
    return figure
