"""Sum of the deflections of lines of mass; see :class:`lensphys.mass.uniform_line.UniformLine`."""

from __future__ import annotations

import math

from lensphys.kernels.blocks import BLOCK
from lensphys.kernels.compiling import inline, kernel
from lensphys.kernels.elementary import angle, log1p


@inline
def _unit_deflection(a, b, half_length):  # type: ignore[no-untyped-def]
    """:func:`lensphys.mass.uniform_line.uniform_line_deflection` for theta_E = 1."""
    real = type(a)
    zero, one, floor = real(0), real(1), real(1e-16)
    side, long = abs(a), half_length
    minus = (side - long) ** 2 + b * b
    plus = (side + long) ** 2 + b * b
    bounded = floor if minus < floor else minus
    # No digits are lost far away, where the logarithm is small.
    along = math.copysign(real(0.5) * log1p(real(4) * side * long / bounded), a)
    sine, cosine = real(2) * long * b, (side - long) * (side + long) + b * b
    turned = angle(sine, abs(cosine) + (one if sine == zero else zero))
    across = turned if cosine >= zero else math.copysign(real(3.141592653589793), sine) - turned
    across = zero if sine == zero or min(plus, minus) < floor else across
    scale = one / (long + long)
    return along * scale, across * scale


@kernel
def add_deflections(  # type: ignore[no-untyped-def]
    x, y, theta2, half_length, cosine, sine, center_x, center_y, alpha_x, alpha_y
):
    """Add the deflections of all members; see :mod:`lensphys.kernels.point_mass`."""
    for b in range(theta2.shape[0]):
        for start in range(0, x.shape[0], BLOCK):
            px, py = x[start : start + BLOCK], y[start : start + BLOCK]
            ax, ay = alpha_x[b, start : start + BLOCK], alpha_y[b, start : start + BLOCK]
            for k in range(theta2.shape[1]):
                t2, long, c, s = theta2[b, k], half_length[b, k], cosine[b, k], sine[b, k]
                cx, cy = center_x[b, k], center_y[b, k]
                if t2 == 0:
                    continue
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    along, across = _unit_deflection(c * dx + s * dy, c * dy - s * dx, long)
                    ax[p] += t2 * (c * along - s * across)
                    ay[p] += t2 * (s * along + c * across)
