"""Many deflectors of one kind, such as the subhaloes of a halo, as one mass profile."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lensphys.mass.base import MassProfile
from lensphys.parameters import Parameter

#: Numbers a map that is worked on at once, by default. On a CPU the dozen maps of a formula then
#: fit the second-level cache, which makes it three times as fast as maps of a million numbers; on
#: an accelerator it is large enough to keep it busy, and gradients take some 2 GB a block.
_BLOCK = {"cpu": 1 << 14, "accelerator": 1 << 22}


class Population:
    """The sum of ``K`` deflectors, whose parameters carry a last axis of length ``K``.

    Deflectors are evaluated in blocks of bounded size. Where gradients are wanted, each block is
    computed again in the backward pass (:func:`torch.utils.checkpoint.checkpoint`), so that memory
    stays bounded there too.

    Args:
        profile: a mass profile whose parameters have shape ``(B, K)`` or ``(K,)``.
        chunk: how many deflectors are evaluated at once, for all images; bounds the memory at some
            maps of ``B * chunk * ny * nx`` numbers, or some 50 to 100 of them with gradients. None
            adapts blocks of deflectors and images to the size of the maps.
        mask: boolean, ``(B, K)`` or ``(K,)``; deflectors where it is False contribute nothing and
            receive no gradient. A population of varying size is padded with any valid parameters.

    Raises:
        ValueError: where no parameter of the profile has an axis to sum over, for a chunk below 1,
            and for a mask that is not boolean or does not go with the parameters.
    """

    def __init__(
        self, profile: MassProfile, chunk: int | None = None, mask: Tensor | None = None
    ) -> None:
        named = {f.name: getattr(profile, f.name) for f in profile.parameters()}
        shapes = [value.shape for value in named.values() if isinstance(value, Tensor)]
        shape = torch.broadcast_shapes(*shapes) if shapes else torch.Size()
        if not shape:
            raise ValueError("a population needs parameters of shape (B, K) or (K,)")
        if chunk is not None and not (isinstance(chunk, int) and chunk >= 1):
            raise ValueError(f"chunk must be at least 1, a whole number or None, got {chunk}")
        self.profile = profile
        self.chunk = chunk
        self.mask = mask
        self.size = shape[-1]
        self._batch = _masked_shape(mask, shape)[:-1]
        self._named = named

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""
        return self._sum(lambda part, x, y: (part.potential(x, y),), x, y, 1)[0]

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection ``(alpha_x, alpha_y)``, arcsec."""
        fused = getattr(self.profile, "summed_deflection", None)
        if fused is not None and (result := fused(x, y, self.mask)) is not None:
            return result  # type: ignore[no-any-return]
        alpha = self._sum(lambda part, x, y: part.deflection(x, y), x, y, 2)
        return alpha[0], alpha[1]

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``."""
        psi = self._sum(lambda part, x, y: part.hessian(x, y), x, y, 3)
        return psi[0], psi[1], psi[2]

    def _block(self, images: int, pixels: int, device: torch.device) -> tuple[int, int]:
        """How many images and how many deflectors are evaluated at once."""
        if self.chunk is not None:
            return images, self.chunk
        numbers = _BLOCK["cpu" if device.type == "cpu" else "accelerator"] // max(1, pixels)
        at_once = max(1, min(images, numbers))
        return at_once, max(1, numbers // at_once)

    def _sum(
        self, evaluate: Callable[..., tuple[Tensor, ...]], x: Tensor, y: Tensor, count: int
    ) -> list[Tensor]:
        batch = torch.broadcast_shapes(self._batch, x.shape[:-2], y.shape[:-2])
        images, members = self._block(batch[-1] if batch else 1, math.prod(x.shape[-2:]), x.device)
        rows = max(1, math.ceil(batch[-1] / images)) if batch else 1
        columns = math.ceil(self.size / members)
        tiles = {
            name: _tiles(value, images, members, rows, columns)
            for name, value in (self._named | {"mask": self.mask}).items()
        }
        # A batched grid (B, ny, nx) gains an axis for the deflectors; a shared one broadcasts.
        grids = [
            v.unsqueeze(-3).split(images) if v.ndim > 2 and len(v) > 1 else [v] * rows
            for v in (x, y)
        ]

        def block(row: int, column: int) -> tuple[Tensor, ...]:
            part = {name: tile[row][column] for name, tile in tiles.items()}
            mask = part.pop("mask")
            maps = evaluate(self._part(part, mask), grids[0][row], grids[1][row])
            if mask is not None:
                shown = mask.to(x.device)[..., None, None]
                maps = tuple(torch.where(shown, image, 0.0) for image in maps)
            return tuple(image.sum(-3) for image in maps)

        again = rows * columns > 1 and _wants_gradient(x, y, *self._named.values())
        sums = []
        for row in range(rows):
            size = (min(images, batch[-1] - row * images),) if batch else ()
            total: Sequence[Tensor] = [x.new_zeros((*size, *x.shape[-2:]))] * count
            for column in range(columns):
                maps = (
                    checkpoint(block, row, column, use_reentrant=False, preserve_rng_state=False)
                    if again
                    else block(row, column)
                )
                total = [a + b for a, b in zip(total, maps, strict=True)]
            sums.append(total)
        return [torch.cat(maps) if rows > 1 else maps[0] for maps in zip(*sums, strict=True)]

    def _part(self, named: dict[str, Parameter], mask: Tensor | None) -> MassProfile:
        # A copy, since a new profile would have its parameters checked, and wait for the device.
        part = copy.copy(self.profile)
        for name, value in named.items():
            if mask is not None and isinstance(value, Tensor) and value.ndim:
                # So that not even a derivative that is not finite leaves a masked deflector.
                value = torch.where(mask.to(value.device), value, value.detach())
            object.__setattr__(part, name, value)
        return part


def _masked_shape(mask: Tensor | None, shape: torch.Size) -> torch.Size:
    """The common shape of the parameters and the mask."""
    if mask is None:
        return shape
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must be a boolean tensor, got {kind}")
    try:
        together = torch.broadcast_shapes(mask.shape, shape)
    except RuntimeError:
        together = torch.Size()
    if not mask.ndim or mask.shape[-1] != shape[-1] or not together:
        raise ValueError(
            f"mask must have shape (B, K) or (K,) with K = {shape[-1]}, of the parameters' "
            f"{tuple(shape)}, got {tuple(mask.shape)}"
        )
    return together


def _tiles(
    value: Parameter | None, images: int, members: int, rows: int, columns: int
) -> Sequence[Sequence[Parameter | None]]:
    """A parameter ``(B, K)`` in blocks; axes that it lacks are repeated."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return [[value] * columns] * rows
    split = value.ndim > 1 and value.shape[-2] > 1
    parts = value.split(images, -2) if split else [value] * rows
    return [part.split(members, -1) if part.shape[-1] > 1 else [part] * columns for part in parts]


def _wants_gradient(*values: Parameter) -> bool:
    """Whether a backward pass will follow. Function transforms cannot be checkpointed."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    transformed = any(
        torch._C._functorch.is_functorch_wrapped_tensor(v)
        or torch.autograd.forward_ad.unpack_dual(v).tangent is not None
        for v in tensors
    )
    return torch.is_grad_enabled() and not transformed and any(v.requires_grad for v in tensors)
