"""Rays behind a shear, and their gradients; see :class:`lensphys.mass.shear.Shear`."""

from __future__ import annotations

import numpy as np

from lensphys.kernels.blocks import BLOCK, sum_terms
from lensphys.kernels.compiling import kernel


@kernel
def trace_rays(  # type: ignore[no-untyped-def]
    x, y, gamma1, gamma2, ra_0, dec_0, alpha_x, alpha_y, beta_x, beta_y
):
    """Source positions ``(B, N)`` from the deflection of what is beside the shear."""
    for b in range(gamma1.shape[0]):
        row = b if x.shape[0] > 1 else 0
        px, py, ax, ay, bx, by = x[row], y[row], alpha_x[b], alpha_y[b], beta_x[b], beta_y[b]
        g1, g2, x0, y0 = gamma1[b], gamma2[b], ra_0[b], dec_0[b]
        for p in range(px.shape[0]):
            dx, dy = px[p] - x0, py[p] - y0
            bx[p] = px[p] - (ax[p] + (g1 * dx + g2 * dy))
            by[p] = py[p] - (ay[p] + (g2 * dx - g1 * dy))


@kernel
def fill_gradients(  # type: ignore[no-untyped-def]
    x, y, gamma1, gamma2, ra_0, dec_0, grad_x, grad_y, by_x, by_y, sums
):
    """Gradients of :func:`trace_rays`, shaped as in :mod:`lensphys.kernels.sie`."""
    terms = np.empty((4, BLOCK), x.dtype)
    for b in range(gamma1.shape[0]):
        row = b if x.shape[0] > 1 else 0
        g1, g2, x0, y0 = gamma1[b], gamma2[b], ra_0[b], dec_0[b]
        for start in range(0, x.shape[1], BLOCK):
            px, py = x[row, start : start + BLOCK], y[row, start : start + BLOCK]
            gx, gy = grad_x[b, start : start + BLOCK], grad_y[b, start : start + BLOCK]
            n = px.shape[0]
            for p in range(n):
                dx, dy = px[p] - x0, py[p] - y0
                terms[0, p], terms[1, p] = gy[p] * dy - gx[p] * dx, -gx[p] * dy - gy[p] * dx
                terms[2, p], terms[3, p] = g1 * gx[p] + g2 * gy[p], g2 * gx[p] - g1 * gy[p]
            if by_x.shape[1]:
                for p in range(n):
                    by_x[b, start + p] = gx[p] - terms[2, p]
                    by_y[b, start + p] = gy[p] - terms[3, p]
            for k in range(4):
                sums[b, k] += sum_terms(terms[k, :n])
