"""Sum of the deflections of truncated halos; see :class:`lensphys.mass.tnfw.TNFW`."""

from __future__ import annotations

import math

import numpy as np

from lensphys.kernels.blocks import BLOCK
from lensphys.kernels.compiling import inline, kernel
from lensphys.kernels.elementary import angle, log, log1p, log1p_over
from lensphys.kernels.nfw import nfw_parts


@inline
def _mean(u, tau, log_tau):  # type: ignore[no-untyped-def]
    """Half the mean convergence inside of ``R^2 = u``, in units of its scale."""
    real = type(u)
    one, pi = real(1), real(3.141592653589793)
    x = math.sqrt(u)
    log_half_x = real(0.5) * log(real(0.25) * u)
    mean, F, turned, s = nfw_parts(u, x, log_half_x)
    tau2 = tau * tau
    q = math.sqrt(u + tau2)
    sum_ = tau + q
    L = -log1p(tau * (one + tau / (q + x)) / x)
    over = one / (tau * sum_)
    y = real(0.5) * u * over
    small = y < real(0.5)
    P_over = log1p_over(y if small else real(0.5)) * real(0.5) * over
    P_over = P_over if small else (log_half_x - log_tau - L) / u
    inner = mean - P_over + L * over
    shift = (x + u * tau * over) * tau / (x + q)
    outside = pi / (s * x * (s + x)) - real(2) * turned + pi * shift / u
    remainder = outside if u > real(1.2) else real(2) * F - pi * tau * over
    return (tau2 - one) * inner + remainder


@inline
def _mean_outside(u, tau, log_tau):  # type: ignore[no-untyped-def]
    """:func:`_mean` for u > 1.2, where the logarithms of x cancel each other."""
    real = type(u)
    one, pi = real(1), real(3.141592653589793)
    x, s, q = math.sqrt(u), math.sqrt(u - one), math.sqrt(u + tau * tau)
    L = -log1p(tau * (one + tau / (q + x)) / x)
    turned = angle(one, s)
    inverse = one / s
    F = (real(1.5707963267948966) - turned) * inverse
    inner = log_tau + F + L * q / tau
    sum_ = tau + q
    remainder = pi * u * inverse / (x * (s + x)) - real(2) * u * turned * inverse
    remainder += pi * (x * sum_ + u) * tau / ((x + q) * sum_)
    return ((tau * tau - one) * inner + remainder) / u


#: Degree of the polynomial in ``1 / (x + sqrt(tau))`` that stands for a truncated halo outside of
#: its scale radius in float32, and the ``tau`` for which it is right to 3e-7 out to x = 150.
_DEGREE, _LEAST_TAU, _MOST_TAU = 16, 0.1, 32.0
_MOST_X = 150.0
#: Its first x: below the least x of a block that lies outside, the root of 1.2.
_FIRST_X = 1.09
_NODES = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
#: Values at the nodes -> coefficients of 1, t, t^2 ...
_TO_POWERS = np.linalg.inv(np.vander(_NODES, increasing=True))


@kernel
def _fill_series(tau, first, last, series):  # type: ignore[no-untyped-def]
    """``u * mean`` of a truncated halo from ``x = first`` to ``last``, as a polynomial.

    Its variable is ``slope / (x + sqrt(tau)) + intercept``, -1 to 1. ``series`` is filled with
    ``sqrt(tau)``, ``slope``, ``intercept`` and the coefficients, the constant first.
    """
    offset, log_tau = math.sqrt(tau), math.log(tau)
    low, high = 1 / (last + offset), 1 / (first + offset)
    slope = 2 / (high - low)
    found = np.zeros(_DEGREE + 1)
    for i in range(_DEGREE + 1):
        x = 1 / (low + (_NODES[i] + 1) / slope) - offset
        value = x * x * _mean_outside(x * x, tau, log_tau)
        for k in range(_DEGREE + 1):
            found[k] += _TO_POWERS[k, i] * value
    series[0], series[1], series[2] = offset, slope, -1 - slope * low
    for k in range(_DEGREE + 1):
        series[3 + k] = found[k]


@kernel
def _apply_series(u, series):  # type: ignore[no-untyped-def]
    """:func:`_mean_outside` of all numbers of a block, in place, by its series."""
    real = u.dtype.type
    offset, slope, intercept = series[0], series[1], series[2]
    for p in range(u.shape[0]):
        w = math.sqrt(u[p]) + offset
        inverse = real(1) / (w * u[p])
        v = slope * (u[p] * inverse) + intercept
        total = series[_DEGREE + 3]
        for i in range(_DEGREE + 2, 2, -1):
            total = total * v + series[i]
        u[p] = total * (w * inverse)


@kernel
def add_deflections(  # type: ignore[no-untyped-def]
    x, y, amplitude, inverse2, floor, tau, log_tau, center_x, center_y, alpha_x, alpha_y
):
    """Add the deflections of all members; see :mod:`lensphys.kernels.point_mass`."""
    u = np.empty(BLOCK, x.dtype)
    bound = x.dtype.type(1.2)
    series = np.empty((amplitude.shape[1], _DEGREE + 4), x.dtype)
    fast = np.empty(amplitude.shape[1], np.bool_)
    reach_x = reach_y = x.dtype.type(0)
    for p in range(x.shape[0]):
        reach_x, reach_y = max(reach_x, abs(x[p])), max(reach_y, abs(y[p]))
    for b in range(amplitude.shape[0]):
        for k in range(amplitude.shape[1]):
            dx, dy = reach_x + abs(center_x[b, k]), reach_y + abs(center_y[b, k])
            last = math.sqrt((dx * dx + dy * dy) * inverse2[b, k])
            fast[k] = x.itemsize == 4 and x.shape[0] > 2 * BLOCK and amplitude[b, k] != 0
            fast[k] &= _LEAST_TAU < tau[b, k] < _MOST_TAU and 2 < last < _MOST_X
            if fast[k]:
                _fill_series(np.float64(tau[b, k]), _FIRST_X, np.float64(last), series[k])
        for start in range(0, x.shape[0], BLOCK):
            px, py = x[start : start + BLOCK], y[start : start + BLOCK]
            ax, ay = alpha_x[b, start : start + BLOCK], alpha_y[b, start : start + BLOCK]
            for k in range(amplitude.shape[1]):
                a, i2, low = amplitude[b, k], inverse2[b, k], floor[b, k]
                t, lt, cx, cy = tau[b, k], log_tau[b, k], center_x[b, k], center_y[b, k]
                if a == 0:
                    continue
                inside = 0
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    r2 = (dx * dx + dy * dy) * i2
                    u[p] = low if r2 < low else r2
                    inside += not r2 > bound
                # Most pixels are far outside of a small halo.
                if inside == 0 and fast[k]:
                    _apply_series(u[: px.shape[0]], series[k])
                elif inside == 0:
                    for p in range(px.shape[0]):
                        u[p] = _mean_outside(u[p], t, lt)
                else:
                    for p in range(px.shape[0]):
                        u[p] = _mean(u[p], t, lt)
                for p in range(px.shape[0]):
                    ax[p] += (px[p] - cx) * (a * u[p])
                    ay[p] += (py[p] - cy) * (a * u[p])
