"""Deflection of an EPL; see :mod:`lensphys.mass.epl` for the formulas."""

from __future__ import annotations

import math

import numpy as np

from lensphys.kernels.blocks import BLOCK
from lensphys.kernels.compiling import kernel
from lensphys.kernels.elementary import exp, log, times


@kernel
def fill_deflection(  # type: ignore[no-untyped-def]
    x, y, theta_E, gamma, e1, e2, center_x, center_y, coefficients, alpha_x, alpha_y
):
    """Deflection of an EPL; see :func:`lensphys.mass.epl.epl_deflection` for the formulas.

    ``coefficients`` are those of its series, ``(B, T)`` with T >= 3.
    """
    real = x.dtype.type
    work = np.empty((9, BLOCK), x.dtype)
    twice, minus, last, total, ux, uy, wx, wy, scale = work
    terms = coefficients.shape[1]
    for b in range(theta_E.shape[0]):
        row = b if x.shape[0] > 1 else 0
        a, cx, cy, f1, f2 = coefficients[b], center_x[b], center_y[b], e1[b], e2[b]
        s = real(math.sqrt(1 - np.float64(f1) ** 2 - np.float64(f2) ** 2))
        log_theta = real(math.log(max(np.float64(theta_E[b]) * s, 1e-9)))
        height, power = theta_E[b] * s, gamma[b] - real(2)
        for start in range(0, x.shape[1], BLOCK):
            px, py = x[row, start : start + BLOCK], y[row, start : start + BLOCK]
            n = px.shape[0]
            for p in range(n):
                dx, dy = px[p] - cx, py[p] - cy
                u, v = (real(1) - f1) * dx - f2 * dy, (real(1) + f1) * dy - f2 * dx
                r2 = u * u + v * v
                r2 = real(1e-18) if r2 < real(1e-18) else r2
                inverse = real(1) / math.sqrt(r2)
                u, v = u * inverse, v * inverse
                wx[p], wy[p] = u, v
                scale[p] = height * exp(power * (log_theta - real(0.5) * log(r2)))
                vx, vy = u * u - v * v, real(2) * u * v
                turned_x, turned_y = f1 * vx + f2 * vy, f1 * vy - f2 * vx
                ux[p], uy[p] = turned_x, turned_y
                whole = real(1) + turned_x
                norm = math.sqrt(whole * whole + turned_y * turned_y)
                kx = math.sqrt(real(0.5) * (norm + whole))
                ky = real(0.5) * turned_y / kx
                below = real(1) / (real(1) + real(2) * kx + norm)
                hx, hy = (real(1) - norm) * below, real(-2) * ky * below
                twice[p], minus[p] = real(2) * hx, -(hx * hx + hy * hy)
                last[p] = a[terms - 1]
                total[p] = a[terms - 2] + twice[p] * a[terms - 1]
            for k in range(terms - 3, -1, -1):
                each = a[k]
                for p in range(n):
                    found = each + twice[p] * total[p] + minus[p] * last[p]
                    last[p], total[p] = total[p], found
            for p in range(n):
                whole = real(1) + ux[p]
                norm = math.sqrt(whole * whole + uy[p] * uy[p])
                kx = math.sqrt(real(0.5) * (norm + whole))
                ky = real(0.5) * uy[p] / kx
                hy = real(-2) * ky / (real(1) + real(2) * kx + norm)
                sx, sy = times(
                    total[p] - real(0.5) * twice[p] * last[p], hy * last[p], kx / norm, -ky / norm
                )
                ex, ey = times(ux[p], uy[p], sx, sy)
                fx, fy = times(wx[p], wy[p], real(1) - ex, -ey)
                alpha_x[b, start + p], alpha_y[b, start + p] = scale[p] * fx, scale[p] * fy
