"""Maps from dumps that were taken on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from csst_hstdm.common_axis import (
    common_axis,
    good_rows,
    radiometer_weights,
    resampled_variance,
)
from csst_hstdm.dump_rows import numbers, rows_of
from csst_hstdm.gridding import Gridding, KernelName, effective_beam
from csst_hstdm.map_plane import contributions, tangent_plane, with_frequency
from csst_hstdm.receiver import Receiver
from csst_hstdm.shared_offs import shared_off_factor
from csst_hstdm.spectral_map import MAP_FLAG_BITS, SpectralMap
from csst_hstdm.summed_meta import summed_meta
from csst_hstdm.weighted_sums import Border, weighted_sums
from csstcore.api import Reference, Spectra, UnprocessableData, caveat, metric

CENTROID_KERNELS = 0.25
"""A pixel whose dumps lie further off than this part of the kernel's width is border."""
LEAST_PIXELS_PER_BEAM = 2.0
"""Larger pixels would lose the resolution, and dumps between them."""
SAMPLING_BEAMS = 0.4
"""Maps with a larger distance of neighbouring dumps than this are undersampled."""


def grid_spectra(
    dumps: Sequence[Spectra],
    receiver: Reference[Receiver],
    gridding: Reference[Gridding],
    *,
    kernel: KernelName = "gaussian",
    pixel_arcsec: Annotated[float, Field(gt=0)] | None = None,
    velocity_axis: bool = False,
) -> Annotated[SpectralMap, "cube"]:
    """Grid dumps taken on the fly into a cube with its errors and weights.

    Each pixel is the mean of the dumps around it, weighted with a kernel and with
    ``t width / T_sys^2`` (Mangum, Emerson & Greisen 2007, A&A 474, 679); errors are propagated,
    with the noise of OFFs that dumps share. Samples with little weight, or whose dumps lie to one
    side, are flagged ``border``, channel by channel.

    Parameters
    ----------
    dumps
        Calibrated dumps on one grid of frequencies; those of state ON without a flag count.
    receiver
        Gives the telescope's beam at the rest frequency.
    gridding
        Kernels and sampling.
    kernel
        Gaussian, or Bessel function times Gaussian (narrower beam, noisier).
    pixel_arcsec
        Side of a pixel, at most half of the beam; from `gridding` if None.
    velocity_axis
        Write radio velocities instead of frequencies.

    Returns
    -------
    SpectralMap
        T in kelvin, shape (channels, y, x).

    Raises
    ------
    UnprocessableData
        If no dump is usable, the dumps do not lie on one grid of frequencies, or the pixels are
        too large.
    """
    axis = common_axis(dumps)
    beam_arcsec = float(receiver.beam_fwhm_arcsec(axis.rest_frequency_hz))
    shape = gridding.kernel(kernel)
    pointed = [_pointed(each) for each in dumps]
    ra, dec = (np.concatenate([place[k] for place in pointed]) for k in (1, 2))
    if not len(ra):
        raise UnprocessableData("no dump of state ON is without flag and has a pointing")
    side = pixel_arcsec or beam_arcsec / gridding.pixels_per_beam
    largest = beam_arcsec / LEAST_PIXELS_PER_BEAM
    if side > largest:
        raise UnprocessableData(
            f"pixel_arcsec is {side:.1f}; expected at most {largest:.1f}, half of the beam"
        )
    wcs = tangent_plane(ra, dec, pixel_arcsec=side, margin_arcsec=beam_arcsec / 2)
    parts = [contributions(wcs, *place, shape, beam_arcsec=beam_arcsec) for place in pointed]
    places = [wcs.wcs_world2pix(np.stack(place[1:], axis=1), 0) for place in pointed]
    width, height = wcs.pixel_shape
    data = np.empty((len(axis.frequency_hz), height * width), np.float32)
    variance = np.empty_like(data)
    border = Border(
        gridding.border_fraction,
        CENTROID_KERNELS * shape.width_beam * beam_arcsec / side,
        np.empty(data.shape, bool),
    )
    weights = radiometer_weights(dumps, [place[0] for place in pointed])
    weight = weighted_sums(
        dumps, parts, weights, axis.first_channels, width * height, data, variance, border
    )
    variance *= shared_off_factor(dumps, parts, weights, width * height).astype(np.float32)
    if not np.any(weight > 0):
        raise UnprocessableData("every sample of the dumps is flagged")
    flags = np.isnan(data).astype(np.uint16) * np.uint16(MAP_FLAG_BITS["no_data"])
    flags[border.flags] |= np.uint16(MAP_FLAG_BITS["border"])
    beam, peak = effective_beam(shape)
    _report(places, side / beam_arcsec, flags, beam * beam_arcsec, peak)
    full = (len(data), height, width)
    return SpectralMap(
        data.reshape(full),
        u.K,
        variance.reshape(full),
        flags.reshape(full),
        with_frequency(
            wcs, axis.frequency_hz, axis.rest_frequency_hz, axis.frame, velocity=velocity_axis
        ),
        summed_meta(dumps),
        weight=weight.reshape(height, width).astype(np.float32) / u.K**2,
        beam_deg=beam * beam_arcsec / 3600,
        telescope_beam_deg=beam_arcsec / 3600,
        resampled_variance=resampled_variance(dumps),
    )


def _pointed(
    dumps: Spectra,
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return the usable dumps with a pointing, and where they point, in degrees."""
    rows = rows_of(dumps)
    ra, dec = numbers(rows, "ra", u.deg), numbers(rows, "dec", u.deg)
    good = good_rows(dumps)
    good = good[np.isfinite(ra[good]) & np.isfinite(dec[good])]
    return good, ra[good], dec[good]


def _report(
    places: list[NDArray[np.float64]],
    pixel_beam: float,
    flags: NDArray[np.uint16],
    beam_arcsec: float,
    peak: float,
) -> None:
    steps = [np.hypot(*np.diff(place, axis=0).T) for place in places if len(place) > 1]
    if steps and np.median(np.concatenate(steps)) * pixel_beam > SAMPLING_BEAMS:
        step = float(np.median(np.concatenate(steps)) * pixel_beam)
        caveat(f"neighbouring dumps lie {step:.2f} beams apart; the map is undersampled")
    metric("map_coverage", float(np.mean(flags == 0)))
    metric("map_beam_arcsec", beam_arcsec)
    metric("map_point_source_peak", peak)
