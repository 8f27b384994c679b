"""Image of a Sersic source behind a SIE with shear, and its derivatives, in one pass."""

from __future__ import annotations

import numpy as np

from lensphys.kernels.blocks import BLOCK
from lensphys.kernels.compiling import inline, kernel
from lensphys.kernels.sersic import sersic_frame, sersic_slopes
from lensphys.kernels.sie import sie_frame, sie_slopes

#: Maps in the order in which they are written: the image, its derivatives by the parameters of the
#: lens, of the shear and of the source.
IMAGE = 0
BY_THETA_E, BY_E1, BY_E2, BY_CENTER_X, BY_CENTER_Y = range(1, 6)
BY_GAMMA1, BY_GAMMA2 = range(6, 8)
BY_AMPLITUDE, BY_R_SERSIC, BY_N_SERSIC, BY_SOURCE_E1, BY_SOURCE_E2 = range(8, 13)
BY_SOURCE_X, BY_SOURCE_Y = range(13, 15)
MAPS = 15
#: Earlier content of the same rows of a block: the deflection of a SIE of theta_E = 1 and its
#: derivatives by e1, e2 and the position.
_UNIT_X, _UNIT_Y, _E1_X, _E1_Y, _E2_X, _E2_Y, _XX, _XY, _YY = range(1, 10)


@inline
def _keep_sie(rows, p, found):  # type: ignore[no-untyped-def]
    rows[_UNIT_X, p], rows[_UNIT_Y, p] = found[0], found[1]
    rows[_E1_X, p], rows[_E1_Y, p] = found[2]
    rows[_E2_X, p], rows[_E2_Y, p] = found[3]
    rows[_XX, p], rows[_XY, p], rows[_YY, p] = found[4]


@kernel
def fill_jacobian(slope, intercept, near, x, y, lens, shear, source, maps):  # type: ignore[no-untyped-def]
    """Brightness of a Sersic source behind a SIE with shear, and its derivatives.

    Args:
        slope, intercept: of ``b_n``.
        near: Einstein radii from the lens within which the image does not constrain its centre.
        x, y: ``(1, N)`` or ``(B, N)``.
        lens, shear, source: parameters ``(B, 5)``, ``(B, 2)`` and ``(B, 7)``.
        maps: ``(B, MAPS or more, N)``; the first ``MAPS`` are written.
    """
    rows = np.empty((MAPS, BLOCK), x.dtype)
    steep = x.dtype.type(slope)
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for b in range(maps.shape[0]):
        row = b if x.shape[0] > 1 else 0
        theta, e1, e2, cx, cy = lens[b, 0], lens[b, 1], lens[b, 2], lens[b, 3], lens[b, 4]
        gamma1, gamma2 = shear[b, 0], shear[b, 1]
        a, R, f1, f2 = source[b, 0], source[b, 1], source[b, 3], source[b, 4]
        sx, sy = source[b, 5], source[b, 6]
        frame = sie_frame(e1, e2)
        light = sersic_frame(R, source[b, 2], f1, f2, slope, intercept)
        nearly_round = np.float64(e1) ** 2 + np.float64(e2) ** 2 < 0.03**2
        too_near = x.dtype.type(near) * theta
        for start in range(0, x.shape[1], BLOCK):
            px, py = x[row, start : start + BLOCK], y[row, start : start + BLOCK]
            n = px.shape[0]
            if nearly_round:
                for p in range(n):
                    _keep_sie(rows, p, sie_slopes(px[p] - cx, py[p] - cy, frame, e1, e2, True))
            else:
                for p in range(n):
                    _keep_sie(rows, p, sie_slopes(px[p] - cx, py[p] - cy, frame, e1, e2, False))
            for p in range(n):
                ux, uy = rows[_UNIT_X, p], rows[_UNIT_Y, p]
                dx = px[p] - (theta * ux + (gamma1 * px[p] + gamma2 * py[p])) - sx
                dy = py[p] - (theta * uy + (gamma2 * px[p] - gamma1 * py[p])) - sy
                unit, by_R, by_n, by_f1, by_f2, gx, gy = sersic_slopes(
                    dx, dy, a, R, steep, f1, f2, light
                )
                # A source that moves by d and light that is deflected by d look the same.
                tx, ty = theta * gx, theta * gy
                rows[IMAGE, p] = a * unit
                by_e1 = tx * rows[_E1_X, p] + ty * rows[_E1_Y, p]
                by_e2 = tx * rows[_E2_X, p] + ty * rows[_E2_Y, p]
                xx, xy, yy = rows[_XX, p], rows[_XY, p], rows[_YY, p]
                rows[BY_THETA_E, p] = gx * ux + gy * uy
                rows[BY_E1, p], rows[BY_E2, p] = by_e1, by_e2
                off_x, off_y = px[p] - cx, py[p] - cy
                known = zero if off_x * off_x + off_y * off_y < too_near * too_near else one
                tx, ty = known * tx, known * ty
                rows[BY_CENTER_X, p] = -(tx * xx + ty * xy)
                rows[BY_CENTER_Y, p] = -(tx * xy + ty * yy)
                by_gamma1, by_gamma2 = gx * px[p] - gy * py[p], gx * py[p] + gy * px[p]
                rows[BY_GAMMA1, p], rows[BY_GAMMA2, p] = by_gamma1, by_gamma2
                rows[BY_AMPLITUDE, p], rows[BY_R_SERSIC, p], rows[BY_N_SERSIC, p] = unit, by_R, by_n
                rows[BY_SOURCE_E1, p], rows[BY_SOURCE_E2, p] = by_f1, by_f2
                rows[BY_SOURCE_X, p], rows[BY_SOURCE_Y, p] = gx, gy
            for k in range(MAPS):
                for p in range(n):
                    maps[b, k, start + p] = rows[k, p]
