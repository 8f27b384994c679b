"""Channels of a lens fit: the maps that travel beside an image, and their places in a stack.

A stack is the input of a network: flux, and beside it the channels, as one tensor. Everything
that reads or changes a part of it names the part.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Noise of pixels that are masked, and the largest number of a stored map: half precision holds it,
#: with room for rounding. In the unit of the image, whatever that is.
MASKED = 6e4
#: Pixels on a side of the box whose mean a high-pass channel lacks.
BOX = 5


class Layout:
    """Names of consecutive parts of the axis of channels.

    Args:
        parts: the number of maps of each part, in their order.
    """

    def __init__(self, **parts: int) -> None:
        self.parts = parts
        ends = torch.tensor(list(parts.values())).cumsum(0).tolist()
        self._slices = {
            name: slice(end - count, end)
            for (name, count), end in zip(parts.items(), ends, strict=True)
        }

    def __len__(self) -> int:
        return sum(self.parts.values())

    def __getitem__(self, name: str) -> slice:
        """The place of a part, to index the axis of channels with."""
        return self._slices[name]

    def split(self, stack: Tensor) -> dict[str, Tensor]:
        """The parts of a stack (B, C, H, W), by name."""
        return {name: stack[:, place] for name, place in self._slices.items()}

    def join(self, parts: dict[str, Tensor]) -> Tensor:
        """One stack (B, C, H, W) of parts in any order."""
        return torch.cat([parts[name] for name in self._slices], 1)


#: Channels of a lens fit: the residual, in units of the noise; the response, which is the change
#: of the image with a deflection along x and along y, in units of the noise per arcsec; the
#: position in the source plane, in half-light radii from the centre of the source; the noise, in
#: the unit of the image; the S/N of one more mass, compact and extended, in every place; and the
#: decimal logarithm of the errors of these masses, see :class:`learn.lens_fits.maps.SearchMaps`.
CHANNELS = Layout(residual=1, response=2, source_plane=2, sigma=1, snr=2, log_error=2)
#: Parts of the input of a network: flux first.
STACK = Layout(flux=1, **CHANNELS.parts)
#: Parts that are vectors, along x and along y, and turn with the image.
VECTORS = ("response", "source_plane")


def stack_channels(flux: Tensor, channels: Tensor | None) -> Tensor:
    """Flux (B, 1, H, W) and channels (B, 10, H, W), where there are any, as one stack."""
    return flux if channels is None else torch.cat([flux, channels.to(flux)], 1)


def bin_stack(stack: Tensor, factor: int) -> Tensor:
    """Images of coarser pixels, each the sum of ``factor`` x ``factor``.

    Pixels that are left over at two of the edges are left out.

    Args:
        stack: flux (B, 1, H, W), or what :func:`stack_channels` gives.
        factor: pixels along a side of a coarse one.
    """
    if factor == 1:
        return stack
    if stack.shape[1] == 1:
        return F.avg_pool2d(stack, factor) * factor**2
    part = STACK.split(stack)
    flux, sigma = bin_flux(part["flux"], part["sigma"], factor)
    sigma = sigma.clamp_min(torch.finfo(sigma.dtype).tiny ** 0.5)
    in_sigma = torch.cat([part["residual"], part["response"]], 1)
    in_sigma = F.avg_pool2d(in_sigma * part["sigma"], factor) * factor**2 / sigma
    shown = [F.avg_pool2d(part[name], factor) for name in ("source_plane", "snr", "log_error")]
    return torch.cat([flux, in_sigma, shown[0], sigma, *shown[1:]], 1)


def bin_flux(flux: Tensor, sigma: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Sums of fluxes (..., H, W) over blocks of pixels, and their noise."""
    if factor == 1:
        return flux, sigma
    variance = F.avg_pool2d(sigma.square(), factor) * factor**2
    return F.avg_pool2d(flux, factor) * factor**2, variance.sqrt()


def high_pass(maps: Tensor) -> Tensor:
    """Maps (..., H, W) less their means over boxes of a few pixels."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    smooth = F.avg_pool2d(flat, BOX, 1, BOX // 2, count_include_pad=False)
    return (flat - smooth).view_as(maps)
