"""Deflection of a SIE and its gradients; see :mod:`lensphys.mass.sie` for the formulas.

There is one profile an image. The grid is ``(1, N)`` where all images share it, and ``(B, N)``
otherwise; each parameter is ``(B,)``. Gradients, which are sums over pixels, are ``(B, P)`` in
float64.
"""

from __future__ import annotations

import math

import numpy as np

from lensphys.kernels.blocks import BLOCK, sum_terms
from lensphys.kernels.compiling import inline, kernel
from lensphys.kernels.elementary import angle, log1p, times


@inline
def sie_frame(e1, e2):  # type: ignore[no-untyped-def]
    """Cosine and sine of the position angle, q, ``q^2``, ``f^2``, ``f / q`` ... of an image."""
    real = type(e1)
    modulus = math.hypot(np.float64(e1), np.float64(e2))
    # Rounder than this is round: what differs is of the order of f^2.
    modulus = max(modulus, 1e-18)
    phi = 0.5 * math.atan2(np.float64(e2), np.float64(e1))
    q = (1 - modulus) / (1 + modulus)
    f = 2 * math.sqrt(modulus) / (1 + modulus)
    scale = math.sqrt(q) / f
    return (
        real(math.cos(phi)),
        real(math.sin(phi)),
        real(q),
        real(q * q),
        real(f),
        real(f * f),
        real(1 / q),
        real(scale),
    )


@inline
def sie_unit(dx, dy, frame):  # type: ignore[no-untyped-def]
    """Deflection of a SIE of theta_E = 1 at ``(dx, dy)`` from its centre.

    That of :func:`lensphys.mass.sie.sie_deflection`, with asin and asinh in forms that keep their
    digits for any axis ratio: ``asin(f cos) = atan2(f cos, psi)`` and ``asinh(f sin / q) =
    ln((psi + f sin) / q)`` with ``psi^2 = q^2 + f^2 sin^2``.
    """
    real = type(dx)
    c, s, q, q2, f, f2, over_q, scale = frame
    r2 = dx * dx + dy * dy
    inverse = real(1) / math.sqrt(real(1e-20) if r2 < real(1e-20) else r2)
    dx, dy = dx * inverse, dy * inverse
    cos, sin = c * dx + s * dy, c * dy - s * dx
    psi = math.sqrt(q2 + f2 * (sin * sin))
    along = angle(f * cos, psi)
    high = f * abs(sin)
    across = math.copysign(log1p(high * over_q * (real(1) + high / (psi + q))), sin)
    return scale * (c * along - s * across), scale * (c * across + s * along)


@kernel
def fill_deflection(x, y, theta_E, e1, e2, center_x, center_y, alpha_x, alpha_y):  # type: ignore[no-untyped-def]
    """Deflection of a SIE, ``(B, N)``."""
    for b in range(theta_E.shape[0]):
        row = b if x.shape[0] > 1 else 0
        px, py, ax, ay = x[row], y[row], alpha_x[b], alpha_y[b]
        theta, cx, cy = theta_E[b], center_x[b], center_y[b]
        frame = sie_frame(e1[b], e2[b])
        for p in range(px.shape[0]):
            unit_x, unit_y = sie_unit(px[p] - cx, py[p] - cy, frame)
            ax[p], ay[p] = theta * unit_x, theta * unit_y


@inline
def sie_slopes(dx, dy, frame, e1, e2, nearly_round):  # type: ignore[no-untyped-def]
    """The deflection for theta_E = 1, its derivatives by e1 and by e2, and the Hessian.

    See :func:`lensphys.mass.sie.sie_deflection_by_ellipticity` and
    :func:`lensphys.mass.sie.sie_hessian`.
    """
    real = type(dx)
    zero, half, one = real(0), real(0.5), real(1)
    ax, ay = sie_unit(dx, dy, frame)
    e = e1 * e1 + e2 * e2
    s2 = one - e
    wx, wy = (one - e1) * dx - e2 * dy, (one + e1) * dy - e2 * dx
    w2 = wx * wx + wy * wy
    inverse = one / math.sqrt(real(1e-20) if w2 < real(1e-20) else w2)
    wx, wy = wx * inverse, wy * inverse
    h = one / math.sqrt(s2)
    hx, hy = h * wx, h * wy
    if nearly_round:
        cos2, sin2 = times(wx, wy, wx, wy)
        ux, uy = e1 * cos2 + e2 * sin2, e1 * sin2 - e2 * cos2
        tx, ty = real(1 / 17), zero
        tx, ty = real(1 / 15) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 13) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 11) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 9) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 7) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 5) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = real(1 / 3) - (ux * tx - uy * ty), -(ux * ty + uy * tx)
        tx, ty = times(cos2, sin2, tx, ty)
        gx, gy = times(hx, hy, e1 + s2 * tx, e2 + s2 * ty)
    else:
        over = one / e
        gx, gy = times(over * e1, over * e2, hx - ax, hy - ay)
    e1, e2 = e1 / s2, e2 / s2
    by_e_x, by_e_y = -half * (e1 * ax + e2 * ay + hx), -half * (e1 * ay - e2 * ax - hy)
    by_conj_x, by_conj_y = half * (gx - e1 * ax + e2 * ay), half * (gy - e1 * ay - e2 * ax)
    by_e1 = by_e_x + by_conj_x, by_e_y + by_conj_y
    by_e2 = by_conj_y - by_e_y, by_e_x - by_conj_x

    kappa = half * inverse * math.sqrt(s2)
    r2 = dx * dx + dy * dy
    core = kappa if r2 == zero else zero
    kappa = (kappa + kappa) / (real(1e-20) if r2 < real(1e-20) else r2)
    hessian = kappa * dy * dy + core, -kappa * dx * dy, kappa * dx * dx + core
    return ax, ay, by_e1, by_e2, hessian


@inline
def _pull_back(dx, dy, theta, gx, gy, frame, e1, e2, nearly_round):  # type: ignore[no-untyped-def]
    """Gradients by theta_E, e1, e2, x and y at one pixel."""
    ax, ay, by_e1, by_e2, (xx, xy, yy) = sie_slopes(dx, dy, frame, e1, e2, nearly_round)
    by_theta = gx * ax + gy * ay
    gx, gy = theta * gx, theta * gy
    return (
        by_theta,
        gx * by_e1[0] + gy * by_e1[1],
        gx * by_e2[0] + gy * by_e2[1],
        gx * xx + gy * xy,
        gx * xy + gy * yy,
    )


@kernel
def fill_gradients(  # type: ignore[no-untyped-def]
    x, y, theta_E, e1, e2, center_x, center_y, grad_x, grad_y, by_x, by_y, sums
):
    """Gradients by position, ``(B, N)`` or ``(B, 0)`` for none, and by the parameters."""
    terms = np.empty((5, BLOCK), x.dtype)
    for b in range(theta_E.shape[0]):
        row = b if x.shape[0] > 1 else 0
        theta, cx, cy = theta_E[b], center_x[b], center_y[b]
        frame = sie_frame(e1[b], e2[b])
        nearly_round = np.float64(e1[b]) ** 2 + np.float64(e2[b]) ** 2 < 0.03**2
        for start in range(0, x.shape[1], BLOCK):
            px, py = x[row, start : start + BLOCK], y[row, start : start + BLOCK]
            gx, gy = grad_x[b, start : start + BLOCK], grad_y[b, start : start + BLOCK]
            n = px.shape[0]
            if nearly_round:
                for p in range(n):
                    (terms[0, p], terms[1, p], terms[2, p], terms[3, p], terms[4, p]) = _pull_back(
                        px[p] - cx, py[p] - cy, theta, gx[p], gy[p], frame, e1[b], e2[b], True
                    )
            else:
                for p in range(n):
                    (terms[0, p], terms[1, p], terms[2, p], terms[3, p], terms[4, p]) = _pull_back(
                        px[p] - cx, py[p] - cy, theta, gx[p], gy[p], frame, e1[b], e2[b], False
                    )
            if by_x.shape[1]:
                for p in range(n):
                    by_x[b, start + p], by_y[b, start + p] = terms[3, p], terms[4, p]
            for k in range(3):
                sums[b, k] += sum_terms(terms[k, :n])
            for k in range(3, 5):
                sums[b, k] -= sum_terms(terms[k, :n])
