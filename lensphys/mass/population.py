"""Many deflectors of one kind, such as the subhaloes of a halo, as one mass profile."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from lensphys.mass.base import Deflecting, MassProfile, Unchanging
from lensphys.mass.distance import is_far
from lensphys.parameters import (
    check_batches,
    check_positions,
    needs_backward,
    parameter_fields,
    shared_shape,
)

#: Bytes of a map that is worked on at once, by default. On a CPU small enough for the caches and
#: for memory that is kept from step to step: larger maps take several times as long.
#: A gradient gains from fewer blocks. On an accelerator, large enough to keep it busy.
_BLOCK = {"cpu": 1 << 16, "cpu gradient": 1 << 19, "accelerator": 1 << 24}


class Population(Deflecting, Unchanging):
    """The sum of ``K`` deflectors, whose parameters carry a last axis of length ``K``.

    Deflectors are evaluated in blocks of bounded size. A backward pass computes each block again
    instead of remembering its intermediate maps, so that its memory is bounded too; the transforms
    of :mod:`torch.func`, and gradients of gradients, remember them all.

    Args:
        profile: a mass profile whose parameters have shape ``(B, K)`` or ``(K,)``.
        chunk: number of deflectors that are evaluated at once, for all images; bounds the memory at
            some maps of ``B * chunk * ny * nx`` numbers, or 50 to 100 of them with gradients. None
            adapts blocks of deflectors and images to the size of the maps.
        mask: boolean, ``(B, K)`` or ``(K,)``; deflectors for which it is False contribute nothing
            and receive no gradient. Pad a population of varying size with any valid parameters.

    Raises:
        ValueError: for what is no mass profile, for one without a parameter that has an axis to
            sum over, for a chunk below 1, and for a mask that is not boolean or does not go with
            the parameters.
    """

    def __init__(
        self,
        profile: MassProfile,
        chunk: int | None = None,
        mask: Tensor | NDArray[np.bool_] | None = None,
    ) -> None:
        if not isinstance(profile, MassProfile):
            raise ValueError(
                "profile must be one mass profile, whose parameters are those of all members, got "
                f"{type(profile).__name__}"
            )
        named = {f.name: getattr(profile, f.name) for f in parameter_fields(profile)}
        shapes = [value.shape for value in named.values() if isinstance(value, Tensor)]
        shape = torch.Size(shared_shape(shapes))
        if not shape:
            raise ValueError("a population needs parameters of shape (B, K) or (K,)")
        if chunk is not None and not (isinstance(chunk, int) and chunk >= 1):
            raise ValueError(f"chunk must be at least 1, a whole number or None, got {chunk}")
        self.profile = profile
        self.chunk = chunk
        is_array = isinstance(mask, np.ndarray) and mask.dtype == bool
        shown: Any = torch.from_numpy(np.array(mask)) if is_array else mask
        self.mask: Tensor | None = shown
        self.size = shape[-1]
        self._batch = _masked_shape(shown, shape)[:-1]
        self._named = named

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape of parameters and mask without the axis that is summed over."""
        return tuple(self._batch)

    def __repr__(self) -> str:
        return f"Population({self.profile!r})"

    def to(self, *args: Any, **kwargs: Any) -> Population:
        """Return it on another device or in another precision, as :meth:`torch.Tensor.to`."""
        mask = self.mask
        if mask is not None:
            mask = mask.to(torch.empty(0, device=mask.device).to(*args, **kwargs).device)
        return Population(self.profile.to(*args, **kwargs), self.chunk, mask)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""
        return self._sum(lambda part, x, y: (part.potential(x, y),), x, y, 1)[0]

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection ``(alpha_x, alpha_y)``, arcsec."""
        check_positions(x, y)
        add_up = getattr(self.profile, "sum_deflections", None)
        add_up = None if is_far(x, y) else add_up
        if add_up is not None and (result := add_up(x, y, self.mask)) is not None:
            return result  # type: ignore[no-any-return]
        alpha = self._sum(lambda part, x, y: part.deflection(x, y), x, y, 2)
        return alpha[0], alpha[1]

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``."""
        psi = self._sum(lambda part, x, y: part.hessian(x, y), x, y, 3)
        return psi[0], psi[1], psi[2]

    def _block(self, images: int, like: Tensor, recomputed: bool) -> tuple[int, int]:
        """Number of images and of deflectors that are evaluated at once."""
        if self.chunk is not None:
            return max(1, images), self.chunk
        on_cpu = like.device.type == "cpu"
        use = ("cpu gradient" if recomputed else "cpu") if on_cpu else "accelerator"
        numbers = _BLOCK[use] // (like.element_size() * max(1, math.prod(like.shape[-2:])))
        at_once = max(1, min(images, numbers))
        return at_once, max(1, numbers // at_once)

    def _sum(
        self, evaluate: Callable[..., tuple[Tensor, ...]], x: Tensor, y: Tensor, count: int
    ) -> Sequence[Tensor]:
        check_positions(x, y)
        grid = [("positions", tuple(v.shape[:-2])) for v in (x, y)]
        check_batches([("the population", self.batch_shape), *grid])
        batch = torch.Size(shared_shape([self._batch, x.shape[:-2], y.shape[:-2]]))
        tensors = {"x": x, "y": y}
        tensors |= {k: v for k, v in self._named.items() if isinstance(v, Tensor)}
        recomputed = _wants_gradient(self.profile, *tensors.values())
        images, members = self._block(batch[-1] if batch else 1, x, recomputed)
        blocks = _Blocks(
            self.profile, self.mask, evaluate, count, batch, self.size, images, members, [*tensors]
        )
        if recomputed and blocks.rows * blocks.columns > 1:
            sums: Sequence[Tensor] = _Recomputed.apply(blocks, *tensors.values())
            return sums
        return blocks.total(*tensors.values())


@dataclasses.dataclass(frozen=True, eq=False)
class _Blocks:
    """Sum over deflectors, cut into blocks of images and of deflectors."""

    profile: MassProfile
    mask: Tensor | None
    evaluate: Callable[..., tuple[Tensor, ...]]
    count: int
    batch: torch.Size
    size: int
    images: int
    members: int
    names: list[str]
    #: The mask, by row and column of blocks.
    _masks: Sequence[Sequence[Tensor]] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        masks = () if self.mask is None else self._cut(self.mask)
        object.__setattr__(self, "_masks", masks)

    @property
    def rows(self) -> int:
        return max(1, math.ceil(self.batch[-1] / self.images)) if self.batch else 1

    @property
    def columns(self) -> int:
        return math.ceil(self.size / self.members)

    def total(self, *values: Tensor) -> tuple[Tensor, ...]:
        """The sum of all deflectors, from the tensors called ``names``."""
        tiles, x = self.tiles(values), values[0]
        sums = []
        for row in range(self.rows):
            images = (min(self.images, self.batch[-1] - row * self.images),) if self.batch else ()
            shape = (*images, *x.shape[-2:])
            total: Sequence[Tensor] = [x.new_zeros(shape)] * self.count
            for column in range(self.columns):
                maps = self.block(row, column, [tile[row][column] for tile in tiles])
                total = [a + b for a, b in zip(total, maps, strict=True)]
            sums.append(total)
        return tuple(
            torch.cat(maps) if len(maps) > 1 else maps[0] for maps in zip(*sums, strict=True)
        )

    def block(self, row: int, column: int, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The sum of the deflectors of one block."""
        x, y, *parameters = values
        # A batched grid (B, ny, nx) gains an axis for the deflectors; a shared one broadcasts.
        grid = [v.unsqueeze(-3) if v.ndim > 2 else v for v in (x, y)]
        named = dict(zip(self.names[2:], parameters, strict=True))
        if not self._masks:
            return tuple(v.sum(-3) for v in self.evaluate(self._part(named), *grid))
        mask = self._masks[row][column]
        # The parameters too, so that not even a derivative that is not finite leaves a masked one.
        named = {
            name: torch.where(mask.to(value.device), value, value.detach()) if value.ndim else value
            for name, value in named.items()
        }
        shown = mask.to(x.device)[..., None, None]
        maps = self.evaluate(self._part(named), *grid)
        return tuple(torch.where(shown, v, 0.0).sum(-3) for v in maps)

    def tiles(self, values: Sequence[Tensor]) -> list[Sequence[Sequence[Tensor]]]:
        """Views of the tensors called ``names``, by row and column of blocks."""
        x, y, *parameters = values
        grids = [
            [[part] * self.columns for part in self._by_image(v, 0, v.ndim > 2)] for v in (x, y)
        ]
        return [*grids, *(self._cut(value) for value in parameters)]

    def _by_image(self, value: Tensor, axis: int, batched: bool) -> Sequence[Tensor]:
        if self.rows == 1 or not batched or value.shape[axis] == 1:
            return [value] * self.rows
        parts: Sequence[Tensor] = value.split(self.images, axis)
        return parts

    def _cut(self, value: Tensor) -> Sequence[Sequence[Tensor]]:
        """A parameter ``(B, K)`` in blocks; axes that it lacks are repeated."""
        if value.ndim == 0 or value.shape[-1] == 1:
            columns: Sequence[Tensor] = [value] * self.columns
        else:
            columns = value.split(self.members, -1)
        parts = [self._by_image(part, -2, part.ndim > 1) for part in columns]
        rows: list[Sequence[Tensor]] = [*zip(*parts, strict=True)]
        return rows

    def _part(self, named: dict[str, Tensor]) -> MassProfile:
        # A copy, since a new profile would have its parameters checked, and wait for the device.
        part = copy.copy(self.profile)
        for name, value in named.items():
            object.__setattr__(part, name, value)
        return part


class _Recomputed(Function):
    """Sum over deflectors whose backward pass computes every block again.

    In place of :func:`torch.utils.checkpoint.checkpoint`, which keeps the graph of every block.
    """

    @staticmethod
    def forward(ctx: Any, blocks: _Blocks, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.blocks = blocks
        ctx.save_for_backward(*values)
        return blocks.total(*values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        blocks, values = ctx.blocks, ctx.saved_tensors
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        found: list[Tensor | None] = [None] * len(values)
        if torch.is_grad_enabled():  # the gradient will itself be differentiated
            inputs = [values[i] for i in wanted]
            result = torch.autograd.grad(
                blocks.total(*values), inputs, grads, create_graph=True, allow_unused=True
            )
            for i, gradient in zip(wanted, result, strict=True):
                found[i] = gradient
            return None, *found
        sums = [torch.zeros_like(value) for value in values]
        into, tiles = blocks.tiles(sums), blocks.tiles([value.detach() for value in values])
        for row in range(blocks.rows):
            outer = [blocks._by_image(gradient, 0, bool(blocks.batch))[row] for gradient in grads]
            for column in range(blocks.columns):
                part = [tile[row][column].detach() for tile in tiles]
                inputs = [part[i].requires_grad_() for i in wanted]
                with torch.enable_grad():
                    maps = blocks.block(row, column, part)
                result = torch.autograd.grad(maps, inputs, outer, allow_unused=True)
                for i, gradient in zip(wanted, result, strict=True):
                    if gradient is not None:
                        into[i][row][column].add_(gradient)
        for i in wanted:
            found[i] = sums[i]
        return None, *found


def _masked_shape(mask: Tensor | None, shape: torch.Size) -> torch.Size:
    """The common shape of the parameters and the mask."""
    if mask is None:
        return shape
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must be a boolean tensor, got {kind}")
    try:
        together = torch.Size(shared_shape([mask.shape, shape]))
    except RuntimeError:
        together = torch.Size()
    if not mask.ndim or mask.shape[-1] != shape[-1] or not together:
        raise ValueError(
            f"mask must have shape (B, K) or (K,) with K = {shape[-1]}, of the parameters' "
            f"{tuple(shape)}, got {tuple(mask.shape)}"
        )
    return together


def _wants_gradient(profile: MassProfile, *values: Tensor) -> bool:
    """Tell if a backward pass to the tensors, and to nothing else, may follow."""
    names = {field.name for field in parameter_fields(profile)}
    others = [getattr(profile, f.name) for f in dataclasses.fields(profile) if f.name not in names]
    return needs_backward(*values) and not any(
        isinstance(v, Tensor) and v.requires_grad for v in others
    )
