"""Brightness of a Sersic profile and its derivatives; see :mod:`lensphys.light.sersic`."""

from __future__ import annotations

import math

import numpy as np

from lensphys.kernels.blocks import BLOCK, sum_terms
from lensphys.kernels.compiling import inline, kernel
from lensphys.kernels.elementary import exp, log

#: Parameters in the order of :class:`lensphys.light.sersic.Sersic`; the last two are the centre.
PARAMETERS = 7
CENTER_X, CENTER_Y = 5, 6


@inline
def sersic_frame(R_sersic, n_sersic, e1, e2, slope, intercept):  # type: ignore[no-untyped-def]
    """Coefficients of the stretched position, of ``log(R / R_sersic) / n``, and ``b_n``."""
    real = type(R_sersic)
    n, e1, e2 = np.float64(n_sersic), np.float64(e1), np.float64(e2)
    inverse = 1 / math.sqrt(1 - e1 * e1 - e2 * e2)
    b = slope * n + intercept
    return (
        real(inverse * (1 - e1)),
        real(inverse * (1 + e1)),
        real(-inverse * e2),
        real(-math.log(np.float64(R_sersic)) / n),
        real(0.5 / n),
        real(b),
        real(b / n),
        real(inverse),
    )


@inline
def _clamp(offset):  # type: ignore[no-untyped-def]
    """An offset from the centre no farther than :data:`lensphys.light.base.FAR`."""
    far = type(offset)(1e15)
    offset = far if offset > far else offset
    return -far if offset < -far else offset


@inline
def _parts(dx, dy, frame):  # type: ignore[no-untyped-def]
    """Stretched position, ``R^2``, ``log(R / R_sersic) / n``, its exponential, the brightness."""
    real = type(dx)
    dx, dy = _clamp(dx), _clamp(dy)
    xx, yy, xy, log_scale, half_over_n, b, _, _ = frame
    u, v = xx * dx + xy * dy, xy * dx + yy * dy
    r2 = u * u + v * v
    r2 = real(1e-8) if r2 < real(1e-8) else r2
    power_log = half_over_n * log(r2) + log_scale
    power_log = real(46) if power_log > real(46) else power_log  # dark, see lensphys.light.sersic
    power = exp(power_log)
    return u, v, r2, power_log, power, exp(b - b * power)


@inline
def brightness_at(dx, dy, frame):  # type: ignore[no-untyped-def]
    """Brightness of unit amplitude at a place, counted from the centre."""
    return _parts(dx, dy, frame)[5]


@kernel
def fill_brightness(  # type: ignore[no-untyped-def]
    slope, intercept, x, y, amplitude, R_sersic, n_sersic, e1, e2, center_x, center_y, brightness
):
    """Surface brightness of a Sersic profile, ``(B, N)``."""
    for b in range(amplitude.shape[0]):
        row = b if x.shape[0] > 1 else 0
        px, py, out = x[row], y[row], brightness[b]
        a, cx, cy = amplitude[b], center_x[b], center_y[b]
        frame = sersic_frame(R_sersic[b], n_sersic[b], e1[b], e2[b], slope, intercept)
        for p in range(px.shape[0]):
            out[p] = a * _parts(px[p] - cx, py[p] - cy, frame)[5]


@inline
def sersic_slopes(dx, dy, a, R, slope, e1, e2, frame):  # type: ignore[no-untyped-def]
    """Unit brightness, and the derivatives by R_sersic, n_sersic, e1, e2, center_x, center_y.

    See :meth:`lensphys.light.sersic.Sersic.surface_brightness_jacobian`.
    """
    real = type(dx)
    dx, dy = _clamp(dx), _clamp(dy)
    one, inverse = real(1), frame[7]
    u, v, r2, power_log, power, unit = _parts(dx, dy, frame)
    brightness = a * unit
    steep = frame[6] * brightness * power
    outside = -steep if r2 > real(1e-8) else real(0)
    pull = inverse * outside / r2
    pull_u, pull_v = pull * u, pull * v
    stretch = inverse * inverse * outside
    return (
        unit,
        steep / R,
        steep * power_log - slope * brightness * (power - one),
        stretch * e1 - pull_u * dx + pull_v * dy,
        stretch * e2 - pull_u * dy - pull_v * dx,
        e2 * pull_v - (one - e1) * pull_u,
        e2 * pull_u - (one + e1) * pull_v,
    )


@kernel
def fill_gradients(  # type: ignore[no-untyped-def]
    slope,
    intercept,
    x,
    y,
    amplitude,
    R_sersic,
    n_sersic,
    e1,
    e2,
    center_x,
    center_y,
    grad,
    by_x,
    by_y,
    sums,
):
    """Gradients of :func:`fill_brightness`, shaped as in :mod:`lensphys.kernels.sie`."""
    terms = np.empty((PARAMETERS, BLOCK), x.dtype)
    steep = x.dtype.type(slope)
    for b in range(amplitude.shape[0]):
        row = b if x.shape[0] > 1 else 0
        a, R, cx, cy = amplitude[b], R_sersic[b], center_x[b], center_y[b]
        f1, f2 = e1[b], e2[b]
        frame = sersic_frame(R, n_sersic[b], f1, f2, slope, intercept)
        for start in range(0, x.shape[1], BLOCK):
            px, py = x[row, start : start + BLOCK], y[row, start : start + BLOCK]
            g = grad[b, start : start + BLOCK]
            n = px.shape[0]
            for p in range(n):
                unit, by_R, by_n, by_e1, by_e2, at_x, at_y = sersic_slopes(
                    px[p] - cx, py[p] - cy, a, R, steep, f1, f2, frame
                )
                terms[0, p], terms[1, p], terms[2, p] = g[p] * unit, g[p] * by_R, g[p] * by_n
                terms[3, p], terms[4, p] = g[p] * by_e1, g[p] * by_e2
                terms[CENTER_X, p], terms[CENTER_Y, p] = g[p] * at_x, g[p] * at_y
            if by_x.shape[1]:
                for p in range(n):
                    by_x[b, start + p] = -terms[CENTER_X, p]
                    by_y[b, start + p] = -terms[CENTER_Y, p]
            for k in range(PARAMETERS):
                sums[b, k] += sum_terms(terms[k, :n])


@kernel
def add_jacobian(slope, intercept, x, y, parameters, maps):  # type: ignore[no-untyped-def]
    """Adds a Sersic profile ``(B, 7)`` to the first of the maps, its derivatives to the last 7."""
    terms = np.empty((PARAMETERS, BLOCK), x.dtype)
    steep = x.dtype.type(slope)
    for b in range(maps.shape[0]):
        row = b if x.shape[0] > 1 else 0
        a, R, e1, e2 = parameters[b, 0], parameters[b, 1], parameters[b, 3], parameters[b, 4]
        cx, cy = parameters[b, 5], parameters[b, 6]
        frame = sersic_frame(R, parameters[b, 2], e1, e2, slope, intercept)
        for start in range(0, x.shape[1], BLOCK):
            px, py = x[row, start : start + BLOCK], y[row, start : start + BLOCK]
            n = px.shape[0]
            for p in range(n):
                unit, by_R, by_n, by_e1, by_e2, at_x, at_y = sersic_slopes(
                    px[p] - cx, py[p] - cy, a, R, steep, e1, e2, frame
                )
                terms[0, p], terms[1, p], terms[2, p] = unit, by_R, by_n
                terms[3, p], terms[4, p] = by_e1, by_e2
                terms[CENTER_X, p], terms[CENTER_Y, p] = at_x, at_y
            for p in range(n):
                maps[b, 0, start + p] += a * terms[0, p]
            for k in range(PARAMETERS):
                for p in range(n):
                    maps[b, maps.shape[1] - PARAMETERS + k, start + p] = terms[k, p]
