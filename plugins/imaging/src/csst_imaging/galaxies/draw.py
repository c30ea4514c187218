"""Images of sums of elliptical Gaussians, with their derivatives."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from csstcore.api import compiled

Floats = NDArray[np.float64]

LOST = 1e-5
"""Part of the source's flux that each Gaussian may leave beyond its edge."""

FLUX, X, Y, XX, XY, YY, INDEX = range(7)
"""Planes: the image of flux 1, and its derivatives by the centre, by the three elements of the
source's covariance matrix, and by ln n."""

LANES = 4


@compiled
def add_gaussians(
    planes: Floats,
    x: float,
    y: float,
    covariance: Floats,
    mixture: Floats,
    psf: Floats,
    row: Floats,
) -> None:
    """Add a mixture of Gaussians, convolved with a mixture of Gaussians, to planes.

    Covariances add (Hogg & Lang 2013, PASP 125, 719). The effective PSF holds the pixel's
    response, so that its value at the centre of a pixel is the pixel's share of the flux. Each
    derivative is the Gaussian times a polynomial of second degree along a row.

    Parameters
    ----------
    planes
        Shape (1, 3 or 7, rows, columns): so many of the planes above are added to.
    x, y
        Centre, in pixels from the first pixel of the planes.
    covariance
        Elements xx, xy, yy of the source's shape, pixel squared, times which go the variances
        of `mixture`.
    mixture
        Shape (4, components): weights, variances, and the derivatives of both by ln n.
    psf
        Shape (components, 6): fractions, offsets x and y, covariances xx, xy, yy.
    row
        Space for one row of values, at least as long as a row of the planes.
    """
    number, rows, columns = planes.shape
    vxx, vxy, vyy = covariance[0], covariance[1], covariance[2]
    for m in range(psf.shape[0]):
        for k in range(mixture.shape[1]):
            weight = mixture[0, k] * psf[m, 0]
            reach = 2.0 * math.log(max(abs(weight) / LOST, 1.0))
            if reach == 0.0:
                continue
            scale = mixture[1, k]
            xx = scale * vxx + psf[m, 3]
            xy = scale * vxy + psf[m, 4]
            yy = scale * vyy + psf[m, 5]
            determinant = xx * yy - xy * xy
            a, b, c = yy / determinant, -xy / determinant, xx / determinant
            amplitude = weight / (2.0 * math.pi * math.sqrt(determinant))
            by_weight = mixture[2, k] / mixture[0, k]
            by_scale = mixture[3, k]
            cx, cy = x + psf[m, 1], y + psf[m, 2]
            height = math.sqrt(reach * yy)
            first = max(0, math.ceil(cy - height))
            last = min(rows - 1, math.floor(cy + height))
            for line in range(first, last + 1):
                dy = line - cy
                half = math.sqrt(max(0.0, (reach - dy * dy / yy) / a))
                middle = cx - b * dy / a
                start = max(0, math.ceil(middle - half))
                stop = min(columns - 1, math.floor(middle + half)) + 1
                if start >= stop:
                    continue
                _gaussian_row(
                    row, start - cx, stop - start, amplitude, a, 2.0 * b * dy, c * dy * dy
                )
                # u = (ux + a t, uy + b t), t pixels from `start`, is the inverse covariance
                # times the distance from the centre
                dx = start - cx
                ux, uy = a * dx + b * dy, b * dx + c * dy
                _add_row(planes[FLUX, line, start:stop], row, 1.0, 0.0, 0.0)
                if number == 1:
                    continue
                _add_row(planes[X, line, start:stop], row, ux, a, 0.0)
                _add_row(planes[Y, line, start:stop], row, uy, b, 0.0)
                if number == 3:
                    continue
                xx0, xx1, xx2 = 0.5 * (ux * ux - a), ux * a, 0.5 * a * a
                xy0, xy1, xy2 = ux * uy - b, ux * b + uy * a, a * b
                yy0, yy1, yy2 = 0.5 * (uy * uy - c), uy * b, 0.5 * b * b
                _add_row(planes[XX, line, start:stop], row, scale * xx0, scale * xx1, scale * xx2)
                _add_row(planes[XY, line, start:stop], row, scale * xy0, scale * xy1, scale * xy2)
                _add_row(planes[YY, line, start:stop], row, scale * yy0, scale * yy1, scale * yy2)
                if by_weight == 0.0 and by_scale == 0.0:
                    continue
                _add_row(
                    planes[INDEX, line, start:stop],
                    row,
                    by_weight + by_scale * (vxx * xx0 + vxy * xy0 + vyy * yy0),
                    by_scale * (vxx * xx1 + vxy * xy1 + vyy * yy1),
                    by_scale * (vxx * xx2 + vxy * xy2 + vyy * yy2),
                )


@compiled
def _gaussian_row(
    row: Floats, dx: float, count: int, amplitude: float, a: float, linear: float, constant: float
) -> None:
    """Write ``amplitude exp(-(a t^2 + linear t + constant) / 2)``, t = dx, dx + 1 ..

    The exponent is quadratic, so that two products give the next value; values four pixels
    apart are of one chain, and the processor works on the four chains at once.
    """
    value = amplitude * math.exp(-0.5 * (a * dx * dx + linear * dx + constant))
    ratio = math.exp(-0.5 * (a * (2.0 * dx + 1.0) + linear))
    step = math.exp(-a)
    if count <= LANES:
        for t in range(count):
            row[t] = value
            value *= ratio
            ratio *= step
        return
    r0, r1 = ratio, ratio * step
    r2, r3 = r1 * step, r1 * step * step
    v0, v1 = value, value * r0
    v2, v3 = v1 * r1, v1 * r1 * r2
    far = r0 * r1 * r2 * r3
    step2 = step * step
    step4 = step2 * step2
    f0, f1, f2, f3 = far, far * step4, far * step4 * step4, far * step4 * step4 * step4
    leap = step4 * step4 * step4 * step4
    whole = count - count % LANES
    for t in range(0, whole, LANES):
        row[t], row[t + 1], row[t + 2], row[t + 3] = v0, v1, v2, v3
        v0, v1, v2, v3 = v0 * f0, v1 * f1, v2 * f2, v3 * f3
        f0, f1, f2, f3 = f0 * leap, f1 * leap, f2 * leap, f3 * leap
    if whole < count:
        row[whole] = v0
    if whole + 1 < count:
        row[whole + 1] = v1
    if whole + 2 < count:
        row[whole + 2] = v2


@compiled
def _add_row(target: Floats, row: Floats, q0: float, q1: float, q2: float) -> None:
    """Add ``row[t] (q0 + q1 t + q2 t^2)`` to a row of a plane."""
    for t in range(len(target)):
        target[t] += row[t] * (q0 + t * (q1 + t * q2))
