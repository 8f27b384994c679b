"""Interface of compiled loops to tensors of torch, on as many threads as torch has.

Loops serve tensors on a CPU, outside of the transforms of torch.func, of forward-mode derivatives
and of torch.compile; elsewhere the same formulas run as operations of torch.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import itertools
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensphys.parameters import is_transformed, needs_backward
from lensphys.threads import pool

#: Numbers in a map below which a second thread costs more than it saves.
_WORTH_A_THREAD = 16384

Array = np.ndarray[Any, Any]


def is_possible(*values: Any) -> bool:
    """Tell if a compiled loop can work on these values; only tensors count."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    return (
        not is_transformed(*tensors)
        and all(
            value.device.type == "cpu"
            and value.dtype in (torch.float32, torch.float64)
            and value.dtype == tensors[0].dtype
            # A batch of gradients (is_grads_batched) is a tensor without numbers of its own.
            and torch._C._has_storage(value)
            for value in tensors
        )
        and _can_compile()
    )


@functools.cache
def _can_compile() -> bool:
    """Tell if numba is there, works and is switched on."""
    try:
        import numba
    except (ImportError, OSError) as error:
        warnings.warn(
            f"numba cannot be imported ({error}): formulas run in torch, which takes several times "
            "as long",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return not numba.config.DISABLE_JIT


@functools.cache
def load(name: str) -> Callable[..., None]:
    """Import a loop, called "file.function"; with the first one numba, which takes a second."""
    file, _, function = name.partition(".")
    module = importlib.import_module(f"lensphys.kernels.{file}")
    found: Callable[..., None] = getattr(module, function)
    return found


def run(name: str, shared: Sequence[Any], each: Sequence[Array], numbers: int) -> None:
    """Call a loop, on as many threads as torch has, with shares of the arrays of ``each``.

    Args:
        name: of the loop, "file.function".
        shared: arguments that are the same for all images.
        each: arrays whose first axis is that of the images.
        numbers: size of all of its maps together, which sets the number of threads.
    """
    function = load(name)
    images = len(each[0])
    threads = max(1, min(torch.get_num_threads(), images, numbers // _WORTH_A_THREAD))
    if threads == 1:
        _call(function, *shared, *each)
        return
    edges = [images * i // threads for i in range(threads + 1)]
    parts = [[array[a:b] for array in each] for a, b in itertools.pairwise(edges)]
    others = [pool(threads - 1).submit(_call, function, *shared, *part) for part in parts[1:]]
    _call(function, *shared, *parts[0])
    for other in others:
        other.result()


def _call(function: Callable[..., None], *arguments: Any) -> None:
    compiling = sys.modules["lensphys.kernels.compiling"]
    # Loops themselves raise nothing: what fails is reading or writing what is kept of them, first
    # a damaged file, then perhaps a full disk.
    for _ in range(2):
        try:
            function(*arguments)
            return
        except Exception as failure:
            compiling.compile_anew(function, failure)
    function(*arguments)


@dataclasses.dataclass(frozen=True)
class Batch:
    """A grid and the parameters of one profile an image, as arrays ``(1 or B, N)`` and ``(B,)``."""

    shape: torch.Size
    grid: list[Array]
    parameters: list[Array]
    dtype: torch.dtype

    @property
    def images(self) -> int:
        """Number of images."""
        return math.prod(self.shape[:-2])

    @property
    def pixels(self) -> int:
        """Number of pixels of an image."""
        return math.prod(self.shape[-2:])

    def run(self, name: str, settings: Sequence[Any], *maps: Array) -> None:
        """Call a loop with settings, the grid, the parameters, and maps of each image."""
        each = [*self.parameters, *maps]
        shared = [*settings, *self.grid]
        if len(self.grid[0]) > 1:
            shared, each = [*settings], [*self.grid, *each]
        run(name, shared, each, self.images * self.pixels)

    def empty_maps(self, count: int) -> Tensor:
        """Maps to be filled: ``(count, B, N)``."""
        return torch.empty(count, self.images, self.pixels, dtype=self.dtype)

    def flatten(self, value: Tensor) -> Array:
        """Expand the values of a tensor to a map ``(B, N)``."""
        return as_array(value.expand(self.shape).reshape(self.images, self.pixels))

    def gradients(
        self, name: str, settings: Sequence[Any], upstream: Sequence[Tensor], inputs: Sequence[Any]
    ) -> list[Tensor | None]:
        """Gradients by ``inputs``, positions and parameters in turn, from a loop that sums them.

        Args:
            name, settings: of the loop.
            upstream: gradients by what the loop of the profile computes.
            inputs: shape of each input, or None if its gradient is not wanted.
        """
        wanted = any(shape is not None for shape in inputs[:2])
        by_position = (
            self.empty_maps(2) if wanted else torch.empty(2, self.images, 0, dtype=self.dtype)
        )
        sums = torch.zeros(self.images, len(self.parameters), dtype=torch.float64)
        above = [self.flatten(value) for value in upstream]
        self.run(name, settings, *above, *by_position.numpy(), sums.numpy())
        single = sums.to(self.dtype).view(*self.shape[:-2], 1, 1, len(self.parameters))
        found = [
            *(by_position.view(2, *self.shape) if wanted else (None, None)),
            *single.unbind(-1),
        ]
        return [
            None if shape is None or value is None else value.sum_to_size(shape)
            for value, shape in zip(found, inputs, strict=True)
        ]


def prepare(x: Tensor, y: Tensor, *parameters: Tensor) -> Batch | None:
    """Return the arguments of a loop, or None where no loop can work on these.

    Args:
        x, y: positions, ``(..., ny, nx)``.
        parameters: aligned with them, ``(..., 1, 1)`` or single numbers.
    """
    if not is_possible(x, y, *parameters) or x.ndim < 2 or x.shape != y.shape:
        return None
    if any(p.ndim == 1 or (p.ndim and p.shape[-2:] != (1, 1)) for p in parameters):
        return None
    # numpy's takes microseconds, torch's a tenth of a millisecond.
    shape = torch.Size(np.broadcast_shapes(*{x.shape, *(p.shape for p in parameters)}))
    lead = shape[:-2]
    images, pixels = math.prod(lead), math.prod(shape[-2:])
    rows = math.prod(x.shape[:-2])
    if rows not in (1, images):
        return None
    flat = [as_array(p.expand(*lead, 1, 1).reshape(images)) for p in parameters]
    return Batch(shape, [as_array(v.reshape(rows, pixels)) for v in (x, y)], flat, x.dtype)


def sum_population(
    name: str, x: Tensor, y: Tensor, mask: Tensor | None, amplitude: Tensor, *parameters: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Sum the deflections of a population on its grid; None where no loop can.

    Args:
        name: of the loop, which leaves out members whose amplitude is 0.
        x, y: positions, arcsec, ``(ny, nx)``, or ``(B, ny, nx)`` for a grid of each image.
        mask: members that are there, ``(B, K)`` or ``(K,)``; None for all of them.
        amplitude, parameters: of the members, ``(B, K)``, ``(K,)`` or single numbers.
    """
    tensors = (x, y, amplitude, *parameters)
    wants_grad = torch.is_grad_enabled() and any(value.requires_grad for value in tensors)
    if wants_grad or x.ndim not in (2, 3) or y.shape != x.shape or not is_possible(*tensors):
        return None
    # Zero itself, not zero times a padding that may not be finite.
    amplitude = amplitude if mask is None else torch.where(mask, amplitude, 0.0)
    aligned = torch.broadcast_tensors(amplitude, *parameters)
    batch, members = aligned[0].shape[:-1], aligned[0].shape[-1]
    images, pixels = math.prod(batch), math.prod(x.shape[-2:])
    if x.ndim == 3 and batch != x.shape[:1]:
        return None
    each = [as_array(value.reshape(images, members)) for value in aligned]
    alpha = x.new_zeros(2, images, pixels)
    maps = [*each, *alpha.numpy()]
    grids = [as_array(v.reshape(*v.shape[:-2], pixels)) for v in (x, y)]
    if x.ndim == 2:
        run(name, grids, maps, images * members * pixels)
    else:
        for b in range(images):
            one = [array[b : b + 1] for array in maps]
            run(name, [grid[b] for grid in grids], one, members * pixels)
    alpha_x, alpha_y = alpha.view(2, *batch, *x.shape[-2:]).unbind()
    return alpha_x, alpha_y


def scale(maps: Tensor, factor: float) -> Tensor:
    """Multiply maps ``(..., ny, nx)`` by a number.

    On the same threads as the loops before and after it: those of torch, once woken, keep the
    processors busy for a while with waiting.
    """
    if not is_possible(maps) or needs_backward(maps) or not maps.numel():
        return maps * factor
    given = as_array(maps.reshape(-1, math.prod(maps.shape[-2:])))
    products = torch.empty(given.shape, dtype=maps.dtype)
    run("scaling.scale", (factor,), (given, products.numpy()), given.size)
    return products.view(maps.shape)


def as_array(value: Tensor) -> Array:
    """Return the numbers of a tensor, contiguous, as an array that shares memory if possible."""
    return value.detach().contiguous().numpy()
