"""Deflection of a multipole; see :mod:`lensphys.mass.multipole` for the formulas."""

from __future__ import annotations

import math

import numpy as np

from lensphys.kernels.blocks import BLOCK
from lensphys.kernels.compiling import kernel


@kernel
def fill_deflection(  # type: ignore[no-untyped-def]
    m, core2, x, y, a_cos, a_sin, center_x, center_y, alpha_x, alpha_y
):
    """Deflection of a multipole of order ``m``, from 2 on; shaped as :mod:`lensphys.kernels.sie`.

    ``core2`` is the square of the radius of the core.
    """
    real = x.dtype.type
    nx, ny, cos, sin = np.empty((4, BLOCK), x.dtype)
    floor, along, across = real(core2), real(1 / (1 - m * m)), real(m / (1 - m * m))
    for b in range(a_cos.shape[0]):
        row = b if x.shape[0] > 1 else 0
        ac, sc, cx, cy = a_cos[b], a_sin[b], center_x[b], center_y[b]
        for start in range(0, x.shape[1], BLOCK):
            px, py = x[row, start : start + BLOCK], y[row, start : start + BLOCK]
            n = px.shape[0]
            for p in range(n):
                dx, dy = px[p] - cx, py[p] - cy
                r2 = dx * dx + dy * dy
                inverse = real(1) / math.sqrt(floor if r2 < floor else r2)
                nx[p], ny[p] = dx * inverse, dy * inverse
                cos[p], sin[p] = nx[p], ny[p]
            for _ in range(m - 1):
                for p in range(n):
                    turned = cos[p] * nx[p] - sin[p] * ny[p]
                    sin[p] = cos[p] * ny[p] + sin[p] * nx[p]
                    cos[p] = turned
            for p in range(n):
                radial = along * (ac * cos[p] + sc * sin[p])
                tangential = across * (sc * cos[p] - ac * sin[p])
                alpha_x[b, start + p] = radial * nx[p] - tangential * ny[p]
                alpha_y[b, start + p] = radial * ny[p] + tangential * nx[p]
