"""Motion in a normal distribution between walls."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.products import product

#: Most walls that a path may meet.
_MOST = 200


@dataclasses.dataclass(frozen=True)
class Box:
    """Whitened coordinates ``q`` of a box, ``low <= centre + T q <= high``.

    Attributes:
        centre: ``(b, F)``.
        transform: ``T``, ``(b, F, F)``.
        low, high: ends of the box, ``(b, F)``.
    """

    centre: Tensor
    transform: Tensor
    low: Tensor
    high: Tensor

    def take(self, which: Tensor) -> Box:
        """Boxes of some lenses."""
        return Box(*(getattr(self, f.name)[which] for f in dataclasses.fields(self)))

    def coordinates(self, q: Tensor) -> Tensor:
        """Coordinates ``u`` of whitened ones, ``(b, C, F)``, inside the box."""
        u = self.centre[:, None] + product(q, self.transform.mT)
        return torch.clamp(u, self.low[:, None], self.high[:, None])

    def rotate(self, q: Tensor, p: Tensor, angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Follow the motion in a normal distribution of unit width for a time; walls reflect it.

        Pakman & Paninski 2014 (J. Comput. Graph. Stat. 23, 518): ``q cos t + p sin t``, whose times
        to the walls have a closed form. The motion is reversible and keeps volumes.

        Args:
            q, p: place and momentum, ``(b, C, F)``.
            angle: time of each chain, ``(b, C)``.

        Returns:
            Place and momentum then, and the time left, ``(b, C)``: 0 but for a path that met too
            many walls, which stops there.
        """
        low, high = (self.low - self.centre)[:, None], (self.high - self.centre)[:, None]
        for _ in range(_MOST):
            along, speed = product(q, self.transform.mT), product(p, self.transform.mT)
            time, wall = _next_wall(along, speed, low, high)
            step = torch.minimum(time, angle)
            cos, sin = torch.cos(step)[..., None], torch.sin(step)[..., None]
            q, p = cos * q + sin * p, cos * p - sin * q
            met = time < angle
            angle = angle - step
            if not bool(met.any()):
                break
            rows = self.transform.gather(1, wall[..., None].expand(-1, -1, q.shape[2]))
            turn = 2 * (rows * p).sum(2) / rows.square().sum(2)
            p = torch.where(met[..., None], p - turn[..., None] * rows, p)
        return q, p, angle


def _next_wall(along: Tensor, speed: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Time to the first wall that ``along cos t + speed sin t`` leaves the box by, and its axis."""
    reach, phase = torch.hypot(along, speed), torch.atan2(speed, along)
    reach = reach.clamp_min(torch.finfo(reach.dtype).tiny)
    # Upwards through the upper end, or downwards through the lower one, not the way back.
    up = torch.remainder(phase - torch.acos((high / reach).clamp(-1, 1)), 2 * math.pi)
    down = torch.remainder(phase + torch.acos((low / reach).clamp(-1, 1)), 2 * math.pi)
    up = torch.where(high < reach, up, torch.inf)
    down = torch.where(low > -reach, down, torch.inf)
    first = torch.minimum(up, down).min(2)
    return first.values, first.indices
