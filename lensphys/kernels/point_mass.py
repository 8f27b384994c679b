"""Sum of the deflections of point masses; see :class:`lensphys.mass.point_mass.PointMass`.

Sums over the members ``(B, K)`` of a population are added to ``alpha (B, N)`` on a grid ``(N,)``.
"""

from __future__ import annotations

from lensphys.kernels.blocks import BLOCK
from lensphys.kernels.compiling import kernel


@kernel
def add_deflections(x, y, theta2, center_x, center_y, alpha_x, alpha_y):  # type: ignore[no-untyped-def]
    """Add the deflections of all members to ``alpha``."""
    floor = x.dtype.type(1e-16)
    for b in range(theta2.shape[0]):
        for start in range(0, x.shape[0], BLOCK):
            px, py = x[start : start + BLOCK], y[start : start + BLOCK]
            ax, ay = alpha_x[b, start : start + BLOCK], alpha_y[b, start : start + BLOCK]
            for k in range(theta2.shape[1]):
                t2, cx, cy = theta2[b, k], center_x[b, k], center_y[b, k]
                if t2 == 0:
                    continue
                for p in range(px.shape[0]):
                    dx, dy = px[p] - cx, py[p] - cy
                    w = t2 / max(dx * dx + dy * dy, floor)
                    ax[p] += dx * w
                    ay[p] += dy * w
