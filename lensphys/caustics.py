"""Critical curves, where images merge and grow without bound, and the caustics behind them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lensphys.lens import Lens
from lensphys.parameters import check_window

Kind = Literal["tangential", "radial"]

#: The grid is shifted by this part of a pixel, so that no vertex falls on the centre of a
#: deflector, where a singular profile has some finite value that means nothing.
_SHIFT = (0.1931, -0.2718)
_STEPS = 40
_ACCURACY = 1e-10


@dataclasses.dataclass(frozen=True, eq=False)
class CriticalCurve:
    """A closed critical curve and its caustic, as polylines of ``N`` vertices, first = last.

    Attributes:
        kind: ``"tangential"`` (``1 - kappa = |gamma|``, stretched along the curve) or ``"radial"``
            (``1 - kappa = -|gamma|``).
        x, y: vertices in the image plane, arcsec, float64, of shape ``(N,)``.
        beta_x, beta_y: the caustic: the same vertices in the source plane.
    """

    kind: Kind
    x: Tensor
    y: Tensor
    beta_x: Tensor
    beta_y: Tensor

    def area(self) -> float:
        """Area inside the critical curve, arcsec^2."""
        return _compute_area(self.x, self.y)

    def caustic_area(self) -> float:
        """Area inside the caustic, arcsec^2, where it does not cross itself."""
        return _compute_area(self.beta_x, self.beta_y)


def critical_curves(
    lens: Lens,
    *,
    window: float,
    n_pix: int = 200,
    center_x: float = 0.0,
    center_y: float = 0.0,
) -> list[CriticalCurve]:
    """Critical curves and caustics inside a square window, the longest first.

    Contours of ``det(d beta / d theta) = 0`` on a grid, each vertex then moved along the gradient
    until the determinant is below 1e-10, or below what the last digit of the position changes it by
    where that is more: at 1e6 arcsec from the origin vertices are good to 1e-10 arcsec. Curves
    smaller than a pixel of that grid are missed. A singular isothermal lens has no radial critical
    curve, and none is reported.

    Args:
        lens: one lens, without a batch.
        window: width of the square to search, arcsec.
        n_pix: pixels on a side.
        center_x, center_y: middle of the square, arcsec.

    Raises:
        ValueError: for a batch of lenses, a window or its middle that is not finite, fewer than 4
            pixels, and a window that a critical curve leaves.
    """
    from skimage.measure import find_contours

    check_window(window, n_pix, center_x, center_y)
    step = window / n_pix
    index = torch.arange(n_pix + 1, dtype=torch.float64) - n_pix / 2
    x, y = torch.meshgrid(
        center_x + (index + _SHIFT[0]) * step, center_y + (index + _SHIFT[1]) * step, indexing="xy"
    )
    with torch.no_grad():
        det = _determinant(lens, x, y)
    if det.ndim > 2:
        raise ValueError(f"critical curves are those of one lens, got a batch {det.shape[:-2]}")
    # Bounded, since contours are interpolated linearly and the determinant has poles.
    contours = find_contours(torch.tanh(det).numpy(), 0.0)
    curves = []
    for contour in contours:
        start_x = x[0, 0] + torch.from_numpy(contour[:, 1]) * step
        start_y = y[0, 0] + torch.from_numpy(contour[:, 0]) * step
        at_x, at_y, found = _polish(lens, start_x, start_y, step)
        if found.sum() < max(4, 0.5 * found.numel()):
            continue
        if not np.array_equal(contour[0], contour[-1]):
            raise ValueError(
                f"a critical curve leaves the window of {window:g} arcsec around "
                f"({center_x:g}, {center_y:g}); enlarge it"
            )
        at_x, at_y = at_x[found], at_y[found]
        at_x, at_y = torch.cat([at_x, at_x[:1]]), torch.cat([at_y, at_y[:1]])
        curves.append(_curve(lens, at_x, at_y))
    return sorted(curves, key=lambda curve: -curve.x.numel())


def _curve(lens: Lens, x: Tensor, y: Tensor) -> CriticalCurve:
    with torch.no_grad():
        xx, _, _, yy = lens.jacobian(x[None], y[None])
        beta_x, beta_y = lens.ray_trace(x[None], y[None])
    # 1 - kappa is half the trace; on a critical curve it is plus or minus the shear.
    kind: Kind = "tangential" if (xx + yy).median() > 0 else "radial"
    return CriticalCurve(kind, x, y, beta_x[0], beta_y[0])


def _polish(lens: Lens, x: Tensor, y: Tensor, step: float) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices moved onto the critical curve, and which of them arrived there nearby."""
    # The last vertex of a closed contour repeats the first.
    start_x, start_y = x[:-1], y[:-1]
    x, y = start_x, start_y
    for _ in range(_STEPS):
        # The caller may have switched gradients off.
        with torch.inference_mode(False), torch.enable_grad():
            at_x, at_y = x.clone().requires_grad_(), y.clone().requires_grad_()
            det = _determinant(lens, at_x[None], at_y[None])[0]
            slope_x, slope_y = torch.autograd.grad(det.sum(), (at_x, at_y))
        det = det.detach()
        steepness = torch.hypot(slope_x, slope_y).clamp_min(torch.finfo(x.dtype).tiny)
        # The last digit of the position alone changes the determinant by this much.
        digit = torch.finfo(x.dtype).eps * torch.maximum(x.abs(), y.abs())
        accuracy = _ACCURACY + 8 * digit * steepness
        if bool((det.abs() < 0.1 * accuracy).all()):
            break
        # Half a pixel at most: a pole of the determinant is no reason to leave the curve.
        length = (-det / steepness).clamp(-0.5 * step, 0.5 * step)
        x, y = x + length * slope_x / steepness, y + length * slope_y / steepness
    with torch.no_grad():
        arrived = _determinant(lens, x[None], y[None])[0].abs() < accuracy
    return x, y, arrived & (torch.hypot(x - start_x, y - start_y) < 1.5 * step)


def _determinant(lens: Lens, x: Tensor, y: Tensor) -> Tensor:
    xx, xy, yx, yy = lens.jacobian(x, y)
    return xx * yy - xy * yx


def _compute_area(x: Tensor, y: Tensor) -> float:
    # Products of coordinates far from the origin would lose the digits of a small area.
    x, y = x - x[0], y - y[0]
    return 0.5 * abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum().item())
