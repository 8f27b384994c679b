"""Distances that mass profiles hold for, and positions farther away than that."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lensphys.arrays import PRECISIONS, is_traced

#: Largest distance of the centre of a profile from the origin, arcsec.
FARTHEST = 1e9
#: Largest Einstein radius or scale radius (arcsec) of a profile whose derivatives at the centre
#: grow with a higher power of it.
MOST_STEEP = 1e3
#: Distance from the origin (arcsec, root mean square of a map) that formulas are written for.
_FAR = {torch.float32: 1e7, torch.float64: 1e140}
_FAR2 = {dtype: far * far for dtype, far in _FAR.items()}


def is_far(*positions: Any) -> bool:
    """Tell if positions leave the range that formulas are written for; False if not at hand.

    On an accelerator nobody looks, since that would wait for it; nor in a compiled graph.
    """
    # Every call of a profile comes here: nothing that takes microseconds without need.
    for v in positions:
        if not (isinstance(v, Tensor) and v.is_cpu and v.dtype in PRECISIONS):
            return False
        if is_traced(v) or not torch._C._has_storage(v):
            return False
        flat = (v.detach() if v.requires_grad else v).reshape(-1)
        if flat.dot(flat).item() > _FAR2[v.dtype] * flat.numel():
            return True
    return False


def at_any_distance(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method of a profile take far positions: those in float32 are evaluated in float64.

    Raises:
        ValueError: by the method, for positions in float64 beyond 1e140 arcsec.
    """

    @functools.wraps(method)
    def evaluate(self: Any, x: Tensor, y: Tensor) -> Any:
        if not is_far(x, y):
            return method(self, x, y)
        if x.dtype == torch.float64:
            if all(bool(torch.isfinite(v).all()) for v in (x, y)):
                most = _FAR[x.dtype]
                raise ValueError(f"x and y must lie within {most:g} arcsec of the origin")
            return method(self, x, y)
        maps = method(self, x.double(), y.double())
        return maps.to(x.dtype) if isinstance(maps, Tensor) else tuple(v.to(x.dtype) for v in maps)

    return evaluate
