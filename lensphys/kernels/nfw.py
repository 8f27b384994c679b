"""Sum of the deflections of NFW halos; see :class:`lensphys.mass.nfw.NFW`."""

from __future__ import annotations

import math

from lensphys.kernels.blocks import BLOCK
from lensphys.kernels.compiling import inline, kernel
from lensphys.kernels.elementary import angle, log, log1p_over, near_series


@inline
def nfw_parts(u, x, log_half_x):  # type: ignore[no-untyped-def]
    """``mean`` and ``F`` of :class:`lensphys.mass.nfw.Projection`, and ``arctan(1 / s) / s``."""
    real = type(u)
    one, half = real(1), real(0.5)
    over = one / (one + x)
    z = (one - x) * over
    near = real(2) * over * (one + z * near_series(z))
    s = math.sqrt(abs(one - u))
    s = half if s < real(0.4) else s  # what follows is not used there
    inverse = one / s
    v = (u if u < one else one) / (real(2) + real(2) * s)
    p_over = log1p_over(-v)
    turned = angle(one, s) * inverse
    inside, outside = u < real(0.8), u > real(1.2)
    far = (-v * p_over - log_half_x) * inverse
    F = far if inside else (real(1.5707963267948966) * inverse - turned if outside else near)
    mean = (-half * p_over - log_half_x) / (s + s * s)
    mean = mean if inside else (log_half_x + F) / u
    return mean, F, turned, s


@inline
def _mean(u):  # type: ignore[no-untyped-def]
    """Half the mean convergence inside of ``R^2 = u``; see :mod:`lensphys.mass.nfw`."""
    real = type(u)
    return nfw_parts(u, math.sqrt(u), real(0.5) * log(real(0.25) * u))[0]


@kernel
def add_deflections(x, y, amplitude, inverse2, floor, center_x, center_y, alpha_x, alpha_y):  # type: ignore[no-untyped-def]
    """Add the deflections of all members; see :mod:`lensphys.kernels.point_mass`."""
    for b in range(amplitude.shape[0]):
        for start in range(0, x.shape[0], BLOCK):
            px, py = x[start : start + BLOCK], y[start : start + BLOCK]
            ax, ay = alpha_x[b, start : start + BLOCK], alpha_y[b, start : start + BLOCK]
            for k in range(amplitude.shape[1]):
                a, i2, low = amplitude[b, k], inverse2[b, k], floor[b, k]
                cx, cy = center_x[b, k], center_y[b, k]
                if a == 0:
                    continue
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    u = (dx * dx + dy * dy) * i2
                    w = a * _mean(low if u < low else u)
                    ax[p] += dx * w
                    ay[p] += dy * w
