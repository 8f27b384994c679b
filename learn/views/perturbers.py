"""Unknown masses in views of images: groups that were drawn beside the fits, mixed and scaled."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from learn.lens_fits.draws import Draws

#: Fraction of the images whose masses are those of two groups.
_TWO = 0.5
#: Least size of a group, pixels.
_SMALLEST = 0.5
#: Changes below this are none.
_FAINTEST = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Perturbers:
    """Groups of point masses, one an image.

    Attributes:
        change: (B, 1, H, W) of the images, in units of the noise, to first order and less what a
            refit of everything would absorb; 0 where there is no group.
        present: (B,) 1 where there is one, else 0.
        described: (B, 3) of each group: ``log(1 + S/N)`` of the change, logarithms of the effective
            number of masses and of the size of the group in pixels.
    """

    change: Tensor
    present: Tensor
    described: Tensor


def mix_perturbers(draws: Draws, *, snr: tuple[float, float], absent: float) -> Perturbers:
    """Choose masses for each image: those of one or two of its groups, at a random S/N.

    Changes add, to first order, so that few groups make many.

    Args:
        draws: of B images.
        snr: of the change that the masses make, the ends of a range uniform in the logarithm.
        absent: fraction of images that are left as they are.
    """
    count, groups = draws.change.shape[:2]
    device = draws.change.device
    first = torch.randint(groups, (count,)).to(device)
    second = torch.randint(groups, (count,)).to(device)
    share = torch.rand(count).to(device)
    share = torch.where(torch.rand(count).to(device) < _TWO, share, 0.0)
    weights = torch.zeros(count, groups, device=device)
    rows = torch.arange(count, device=device)
    weights[rows, first] += 1 - share
    weights[rows, second] += share

    chosen = torch.stack([first, second], 1)
    pair = draws.change[rows[:, None], chosen].float()
    parts = torch.stack([1 - share, share], 1)
    change = (parts[..., None, None] * pair).sum(1)
    length = change.flatten(1).norm(dim=1)
    low, high = snr
    wanted = low * torch.exp(torch.rand(count).to(device) * math.log(high / low))
    present = (torch.rand(count).to(device) >= absent) & (length > _FAINTEST)
    wanted = wanted * present
    scale = wanted / length.clamp_min(_FAINTEST)

    powers = torch.tensor([1, 2, 1, 1, 1], device=device)
    moments = (weights[..., None] ** powers * draws.moments).sum(1)
    mass, squares, x, y, spread = moments.unbind(1)
    mass = mass.clamp_min(torch.finfo(mass.dtype).tiny)
    variance = spread / mass - (x / mass).square() - (y / mass).square()
    described = [
        torch.log1p(wanted),
        torch.log((mass.square() / squares.clamp_min(1e-30)).clamp_min(1.0)),
        torch.log(variance.clamp_min(0.0).sqrt() + _SMALLEST),
    ]
    return Perturbers(
        change=(change * scale[:, None, None])[:, None],
        present=present.to(change),
        described=torch.stack(described, 1),
    )
