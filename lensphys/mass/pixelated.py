"""Convergence map of square pixels."""

from __future__ import annotations

import dataclasses
import itertools
import math

import torch
from torch import Tensor

from lensphys.arrays import is_traced, take_map
from lensphys.mass.base import MassProfile
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, check_width, parameter, shared_shape
from lensphys.remembering import remember

#: Derivatives ``d^p/dx^p d^q/dy^q`` of the potential that are known at the pixel centres.
_ORDERS = tuple(itertools.product(range(3), range(3)))
#: Distance in pixels from which the multipoles of a square replace differences of its closed form,
#: which lose digits as the square of the distance; to the 16th multipole they are good to 1e-17.
_FAR = 7
#: Coefficients (constant first) of the polynomials on [0, 1] that have at 0 a value, a slope and a
#: curvature of (1, 0, 0), (0, 1, 0) and (0, 0, 1), and of (0, 0, 0) at 1.
_QUINTIC = (
    (1.0, 0.0, 0.0, -10.0, 15.0, -6.0),
    (0.0, 1.0, 0.0, -6.0, 8.0, -3.0),
    (0.0, 0.0, 0.5, -1.5, 1.5, -0.5),
)


def square_pixel(x: Tensor, y: Tensor, p: int, q: int) -> Tensor:
    """``d^p/dx^p d^q/dy^q`` of the potential of a unit square of convergence 1 about the origin.

    ``psi = 1 / pi int ln r d^2r``, whose antiderivative in x and y is ``(x y (ln r^2 - 3) + x^2
    arctan(y / x) + y^2 arctan(x / y)) / 2``, taken between the four corners.

    Args:
        x, y: position in units of the side, not on the (extended) edges of the square.
        p, q: order of the derivative in x and y, up to 2 each.
    """
    total = torch.zeros_like(x)
    for sign_x, sign_y in itertools.product((1, -1), (1, -1)):
        u, v = x + 0.5 * sign_x, y + 0.5 * sign_y
        total = total + sign_x * sign_y * _antiderivative(u, v, p, q)
    return total / math.pi


def _antiderivative(x: Tensor, y: Tensor, p: int, q: int) -> Tensor:
    if p < q:
        x, y, p, q = y, x, q, p
    r2 = x * x + y * y
    if (p, q) == (0, 0):
        arcs = x * x * torch.atan(y / x) + y * y * torch.atan(x / y)
        return 0.5 * (x * y * (torch.log(r2) - 3) + arcs)
    if (p, q) == (1, 0):
        return 0.5 * y * torch.log(r2) + x * torch.atan(y / x)
    if (p, q) == (1, 1):
        return 0.5 * torch.log(r2)
    if (p, q) == (2, 0):
        return torch.atan(y / x)
    if (p, q) == (2, 1):
        return x / r2
    return -2 * x * y / (r2 * r2)


def _multipoles(x: Tensor, y: Tensor, p: int, q: int) -> Tensor:
    """Derivatives far away: ``psi = Re(ln z - sum_n M_n / n z^n) / pi``, ``M_n = int z^n d^2z``."""
    z, order = torch.complex(x, y), p + q
    total = torch.zeros_like(z)
    for n in (0, 4, 8, 12, 16):
        moment = sum(
            math.comb(n, k) * (-1) ** (k // 2) / ((n - k + 1) * (k + 1) * 2**n)
            for k in range(0, n + 1, 2)
        )
        # d^m/dz^m of ln z and of -1 / (n z^n)
        if order == 0:
            total = total + (torch.log(z) if n == 0 else -moment / (n * z**n))
        else:
            factor = (-1) ** (order - 1) * math.prod(range(n + 1, n + order))
            total = total + factor * moment / z ** (n + order)
    derivative: Tensor = (total * 1j**q).real / math.pi
    return derivative


@remember(8)
def _kernel(shape: tuple[int, int], device: torch.device) -> Tensor:
    """Transforms ``(9, 2 ny + 2, nx + 2)`` of what a pixel does to all nodes, in pixels."""
    # Outside inference mode even when called in it, since the cached tensor outlives the call.
    with torch.inference_mode(False):
        offsets = [torch.arange(2 * n + 2, dtype=torch.float64) for n in shape]
        # Offsets of nodes from -1 to n, one outside of each edge, run from -n to n.
        y, x = (
            torch.where(o <= n, o, o - (2 * n + 2)) for o, n in zip(offsets, shape, strict=True)
        )
        y, x = torch.broadcast_tensors(y[:, None], x[None, :])
        far = x * x + y * y >= _FAR**2
        safe = torch.where(far, x, float(_FAR))
        maps = [
            torch.where(far, _multipoles(safe, y, p, q), square_pixel(x, y, p, q))
            for p, q in _ORDERS
        ]
        kernel: Tensor = torch.fft.rfft2(torch.stack(maps)).to(device)
        return kernel


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PixelatedConvergence(MassProfile):
    """Mass on a map of square pixels, each of uniform convergence, and none outside.

    At the pixel centres potential, deflection and Hessian are exact (a convolution with those of a
    uniform square by a padded Fourier transform). In between, the potential is the polynomial of
    fifth degree in x and y that has the exact potential and its first and second derivatives in x
    and y at the four nearest pixel centres; deflection and Hessian are the derivatives of it, and
    continuous. They exist inside the map only: pad it with zeros to go further out.
    Differentiable in the map, in its centre and in the position.

    Args:
        kappa: convergence, ``(ny, nx)`` or ``(B, ny, nx)``; negative values are allowed.
        pixel_scale: side of a pixel, arcsec.
        center_x, center_y: centre of the map, arcsec.

    Raises:
        ValueError: also for a map that is not such a tensor or not finite, a pixel scale that is
            not positive and finite, and positions outside of the map.
    """

    kappa: Tensor
    pixel_scale: float
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def __post_init__(self) -> None:
        super().__post_init__()
        kappa = take_map("kappa", self.kappa)
        object.__setattr__(self, "kappa", kappa)
        if kappa.ndim not in (2, 3) or 0 in kappa.shape[-2:]:
            shape = tuple(kappa.shape)
            raise ValueError(f"kappa must have shape (ny, nx) or (B, ny, nx), got {shape}")
        if not is_traced(kappa) and not torch.isfinite(kappa.detach()).all():
            raise ValueError("kappa must be finite, got a map with NaN or infinite pixels")
        check_width("pixel_scale", self.pixel_scale)
        if kappa.ndim == 3:
            centers = [v for v in (self.center_x, self.center_y) if isinstance(v, Tensor)]
            for shape in {tuple(v.shape) for v in centers} - {(), (1,), (kappa.shape[0],)}:
                raise ValueError(
                    f"kappa and its centre must share one batch shape, got {tuple(kappa.shape)} "
                    f"and {shape}"
                )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return shared_shape([super().batch_shape, tuple(self.kappa.shape[:-2])])

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        return self._interpolate(x, y, [(0, 0)])[0] * self.pixel_scale**2

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        alpha_x, alpha_y = self._interpolate(x, y, [(1, 0), (0, 1)])
        return alpha_x * self.pixel_scale, alpha_y * self.pixel_scale

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        psi_xx, psi_xy, psi_yy = self._interpolate(x, y, [(2, 0), (1, 1), (0, 2)])
        return psi_xx, psi_xy, psi_yy

    def _nodes(self, like: Tensor) -> Tensor:
        """All derivatives ``(..., 9, ny + 2, nx + 2)`` in pixels, one node beyond each edge."""
        kappa = self.kappa.to(like.device, like.dtype)
        ny, nx = kappa.shape[-2:]
        padded = (2 * ny + 2, 2 * nx + 2)
        transform = torch.fft.rfft2(kappa, s=padded).unsqueeze(-3)
        maps = torch.fft.irfft2(transform * _kernel((ny, nx), like.device), s=padded)
        maps = torch.roll(maps, (1, 1), (-2, -1))[..., : ny + 2, : nx + 2]
        # ln(r / arcsec) in place of ln(r / pixel)
        constant = kappa.sum((-2, -1)) * (math.log(self.pixel_scale) / math.pi)
        zero = torch.zeros_like(maps[..., 1:, :, :])
        return maps + torch.cat(
            [constant[..., None, None, None].expand_as(maps[..., :1, :, :]), zero], -3
        )

    def _interpolate(self, x: Tensor, y: Tensor, orders: list[tuple[int, int]]) -> list[Tensor]:
        # In double precision throughout: a curvature is the difference of potentials that agree to
        # one part in the square of the number of pixels.
        narrow, x, y = x.dtype, x.double(), y.double()
        center = self.align(x)
        nodes = self._nodes(x)
        ny, nx = nodes.shape[-2:]
        place = []
        for v, middle, n in ((x, center["center_x"], nx), (y, center["center_y"], ny)):
            at = (v - middle) / self.pixel_scale + (n - 1) / 2
            if (
                not is_traced(at)
                and not ((at.detach() - (n - 1) / 2).abs() <= (n - 2) / 2 + 1e-3).all()
            ):
                raise ValueError("x, y must lie inside the map of kappa: pad it with zeros")
            cell = at.detach().floor().clamp(0, n - 2)
            place.append((cell.long(), at - cell))
        (i, s), (j, t) = place
        shape = shared_shape([(*nodes.shape[:-3], 1, 1), i.shape, j.shape])
        i, j, s, t = (v.expand(shape) for v in (i, j, s, t))
        corners = []
        flat = nodes.flatten(-2).expand(*shape[:-2], len(_ORDERS), -1)
        for dy, dx in itertools.product((0, 1), (0, 1)):
            index = ((j + dy) * nx + i + dx).flatten(-2).unsqueeze(-2)
            values = torch.gather(flat, -1, index.expand(*flat.shape[:-1], -1))
            corners.append(values.unflatten(-1, shape[-2:]))
        found = []
        for p, q in orders:
            along_x, along_y = _weights(s, p), _weights(t, q)
            total = torch.zeros_like(s)
            for (dy, dx), values in zip(itertools.product((0, 1), (0, 1)), corners, strict=True):
                for channel, (k, m) in enumerate(_ORDERS):
                    weight = along_x[dx][k] * along_y[dy][m]
                    total = total + weight * values[..., channel, :, :]
            found.append(total.to(narrow))
        return found


def _weights(t: Tensor, order: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights at ``t`` of value, slope and curvature at 0, and of those at 1; or derivatives."""
    at_0 = [_polynomial(c, t, order) for c in _QUINTIC]
    # Mirrored: the slope changes its sign, and so does every derivative.
    at_1 = [(-1) ** (k + order) * _polynomial(c, 1 - t, order) for k, c in enumerate(_QUINTIC)]
    return at_0, at_1


def _polynomial(coefficients: tuple[float, ...], t: Tensor, order: int) -> Tensor:
    total = torch.zeros_like(t)
    for power in range(len(coefficients) - 1, order - 1, -1):
        total = total * t + coefficients[power] * math.perm(power, order)
    return total
