"""Point mass, and the fused sum over many of them."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lensphys.mass.base import MassProfile
from lensphys.parameters import Parameter, parameter, transformed

#: Squared distance (arcsec^2) below which the singular centre is cut off; the gradient of the
#: Hessian, which grows as its inverse square, then stays in the range of float32.
_R2_MIN = 1e-16


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PointMass(MassProfile):
    """Point mass, ``alpha = theta_E^2 r_vec / r^2``; no deflection at its very centre.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 2.6b, in angular units.

    Args:
        theta_E: Einstein radius, arcsec; ``theta_E^2 = 4 G M / c^2 * D_ls / (D_l D_s)``.
        center_x, center_y: position, arcsec.
    """

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, high=math.inf)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        theta2, _, _, r2 = self._geometry(x, y)
        return 0.5 * theta2 * torch.log(r2)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        theta2, x, y, r2 = self._geometry(x, y)
        w = theta2 / r2
        return x * w, y * w

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        theta2, x, y, r2 = self._geometry(x, y)
        # Two divisions by r^2: r^4 would leave the range of float32 near the centre.
        psi_xx = theta2 / r2 * ((y * y - x * x) / r2)
        return psi_xx, theta2 / r2 * (-2 * x * y / r2), -psi_xx

    def summed_deflection(
        self, x: Tensor, y: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Sum over the last parameter axis in one fused pass, or None where that is not offered.

        Offered on a CPU, without gradients, for one grid shared by the batch: one pass over the
        pixels in place of one a mass, at the rate of the arithmetic instead of the memory.
        Masses where ``mask`` is False are left out.
        """
        present: Parameter = 1.0 if mask is None else mask
        given = (self.theta_E, self.center_x, self.center_y, present)
        tensors = [value for value in (x, y, *given) if isinstance(value, Tensor)]
        wants_grad = torch.is_grad_enabled() and any(value.requires_grad for value in tensors)
        if wants_grad or transformed(*tensors) or x.device.type != "cpu" or x.ndim != 2:
            return None
        params = torch.broadcast_tensors(
            *(torch.as_tensor(value, dtype=x.dtype, device=x.device) for value in given)
        )
        batch, masses = params[0].shape[:-1], params[0].shape[-1]
        flat = [value.reshape(batch.numel(), masses).contiguous().numpy() for value in params]
        alpha_x, alpha_y = (torch.empty(flat[0].shape[0], x.numel(), dtype=x.dtype) for _ in "xy")
        kernel = _point_mass_kernel()
        grid = x.contiguous().view(-1).numpy(), y.contiguous().view(-1).numpy()
        each = (flat[0] ** 2 * flat[3], flat[1], flat[2], alpha_x.numpy(), alpha_y.numpy())
        threads = max(1, min(torch.get_num_threads(), len(flat[0])))
        if threads == 1:
            kernel(*grid, *each)
        else:
            parts = zip(*(np.array_split(values, threads) for values in each), strict=True)
            with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda part: kernel(*grid, *part), parts))
        return alpha_x.view(*batch, *x.shape), alpha_y.view(*batch, *x.shape)

    def _geometry(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        p = self.aligned(x)
        x, y = x - p["center_x"], y - p["center_y"]
        return p["theta_E"] ** 2, x, y, (x * x + y * y).clamp_min(_R2_MIN)


@functools.cache
def _point_mass_kernel() -> Callable[..., None]:
    """The sum over point masses, compiled on first use (numba is slow to import)."""
    import numba

    block = 1024  # pixels; two coordinates and two deflections of them fit the first-level cache

    # numpy's error model: Python's check for division by zero would keep the loop from being
    # vectorised, at a tenth of the speed. Not parallel=True: starting numba's threads resets the
    # number of torch's, as both share one OpenMP library.
    @numba.njit(nogil=True, fastmath={"contract", "arcp"}, error_model="numpy", cache=True)
    def kernel(x, y, theta2, center_x, center_y, alpha_x, alpha_y):  # type: ignore[no-untyped-def]
        images, masses = theta2.shape
        floor = x.dtype.type(_R2_MIN)
        for b in range(images):
            for start in range(0, x.shape[0], block):
                px, py = x[start : start + block], y[start : start + block]
                ax, ay = alpha_x[b, start : start + block], alpha_y[b, start : start + block]
                ax[:] = 0
                ay[:] = 0
                for k in range(masses):
                    t2, cx, cy = theta2[b, k], center_x[b, k], center_y[b, k]
                    if t2 == 0:
                        continue
                    for p in range(px.shape[0]):
                        dx, dy = px[p] - cx, py[p] - cy
                        w = t2 / max(dx * dx + dy * dy, floor)
                        ax[p] += dx * w
                        ay[p] += dy * w

    return kernel  # type: ignore[no-any-return]
