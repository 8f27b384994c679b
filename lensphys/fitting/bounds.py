"""Bounds by transformation: fits step in unbounded coordinates and stay inside the bounds."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lensphys.arrays import take_numbers
from lensphys.fit_range import FitRange
from lensphys.parameters import Parameter

#: Starting values out of a range are moved this fraction of it inside: at its ends steps vanish.
_MARGIN = 1e-3
#: Coordinates go no further than this to either side, 1e-4 of the range away from its ends: a
#: best fit at a bound would otherwise be looked for at infinity, where slopes are lost to rounding.
EDGE = 9.0


class Bounds:
    """The open interval of every parameter of every image, and the coordinates that undo it.

    ``p = low + (high - low) sigmoid(z)``, or the same of ``log p``.

    Args:
        ranges: of the ``P`` parameters, by name.
        half_field: half the width of the images, arcsec.
        peak: the largest surface brightness of each image, ``(B,)``.
        overrides: ``name: (low, high)``.
        fixed: values, numbers or ``(B,)``, of parameters that are not fitted.

    Attributes:
        held: mask of the parameters that are fixed, ``(P,)``.
        log: mask of the parameters whose logarithm a step changes, ``(P,)``.

    Raises:
        ValueError: for an unknown name, for bounds that are not two finite numbers in order or
            leave the range of the parameter, and for fixed values that are not finite or of a
            wrong shape.
    """

    def __init__(
        self,
        ranges: Mapping[str, FitRange],
        half_field: float,
        peak: Tensor,
        overrides: Mapping[str, tuple[float, float]],
        fixed: Mapping[str, Parameter] | None = None,
    ) -> None:
        fixed = fixed or {}
        self._names = tuple(ranges)
        check_names("bounds", overrides, ranges)
        check_names("fixed", fixed, ranges)
        low, high = [], []
        for name, known in ranges.items():
            least, most, unit = known.low, known.high, known.per_unit(half_field, peak)
            if name in overrides:
                (least, most), unit = _check_bounds(name, overrides[name], known), 1.0
            units = unit if isinstance(unit, Tensor) else torch.full_like(peak, unit)
            low.append(least * units)
            high.append(most * units)
        self.low, self.high = torch.stack(low, -1), torch.stack(high, -1)
        self.log = torch.tensor([known.log for known in ranges.values()], device=peak.device)
        self.held = torch.tensor([name in fixed for name in ranges], device=peak.device)
        values = [per_image(f"fixed {name}", fixed.get(name, 0.0), peak) for name in ranges]
        self._fixed = torch.stack(values, -1)

    def narrow(
        self, name: str, low: Tensor | float | None = None, high: Tensor | float | None = None
    ) -> None:
        """Move the ends of the range of a parameter inwards, numbers or ``(B,)``.

        Ends that would lie beyond the other end of the range stay.
        """
        k = self._names.index(name)
        for ends, value in ((self.low, low), (self.high, high)):
            if value is not None:
                value = torch.as_tensor(value).to(ends).expand(len(ends))
                inside = (value > self.low[:, k]) & (value < self.high[:, k])
                ends[:, k] = torch.where(inside, value, ends[:, k])

    def hold(self, values: Mapping[str, Tensor]) -> Bounds:
        """Bounds with further parameters fixed, at values ``(B,)`` by name."""
        held = copy.copy(self)
        added = torch.tensor([name in values for name in self._names], device=self.held.device)
        columns = [values.get(name, self._fixed[:, k]) for k, name in enumerate(self._names)]
        # What is fixed already stays where it is.
        held._fixed = torch.where(self.held, self._fixed, torch.stack(columns, -1))
        held.held = self.held | added
        return held

    def forward(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters ``(b, P)`` of the images ``index``, and their derivative by ``z``.

        Those that are fixed have their value whatever ``z`` is.
        """
        low, width = self._interval(index)
        s = torch.sigmoid(z)
        # Not 1 - s, which has no digits left at the upper end.
        value, slope = low + width * s, width * s * torch.sigmoid(-z)
        value = torch.where(self.log, torch.exp(value), value)
        slope = torch.where(self.log, value * slope, slope)
        return torch.where(self.held, self._fixed[index], value), slope * ~self.held

    def inverse(self, params: Tensor, index: Tensor) -> Tensor:
        """The coordinates of parameters ``(b, P)``; those out of bounds are moved well inside."""
        low, width = self._interval(index)
        value = torch.where(self.log, torch.log(params.clamp_min(1e-30)), params)
        share = (value - low) / width
        # A best fit at a bound may be gone on from; others would find steps vanish there.
        inside = torch.logit(share.clamp(_MARGIN, 1 - _MARGIN))
        near = torch.logit(share).clamp(-EDGE, EDGE)
        return torch.where((share > 0) & (share < 1), near, inside)

    def free(self, z: Tensor, gradient: Tensor) -> Tensor:
        """Mask of what may change: neither fixed, nor at a bound that ``gradient`` would leave."""
        return ((z.abs() < EDGE) | (z * gradient < 0)) & ~self.held

    def _interval(self, index: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.low[index], self.high[index]
        low = torch.where(self.log, torch.log(low), low)
        high = torch.where(self.log, torch.log(high), high)
        return low, high - low


def check_names(what: str, given: Mapping[str, object], names: Collection[str]) -> None:
    """Refuse names that are not parameters, with the nearest ones that are, or all of them.

    Raises:
        ValueError: for the first unknown name.
    """
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
            raise ValueError(f"{what} names an unknown parameter {name!r}; {hint}")


def per_image(name: str, value: Parameter, like: Tensor) -> Tensor:
    """Expand a number or ``(B,)`` to ``(B,)``, in the dtype and on the device of ``like``.

    Raises:
        ValueError: for another shape, or a value that is not finite.
    """
    value = torch.as_tensor(take_numbers(name, value), dtype=like.dtype, device=like.device)
    if value.ndim and value.shape != like.shape:
        raise ValueError(
            f"{name} must be a number or of shape {tuple(like.shape)}, got {tuple(value.shape)}"
        )
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name} must be finite")
    return value.expand(like.shape).detach()


def _check_bounds(name: str, given: tuple[float, float], known: FitRange) -> tuple[float, float]:
    try:
        low, high = (math.nan if isinstance(end, bool) else float(end) for end in given)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"bounds of {name} must be two finite numbers, low < high, got {given}")
    if known.log and low <= 0:
        raise ValueError(f"bounds of {name} must be positive, got {given}")
    least, most = known.allowed
    if low < least or high > most:
        raise ValueError(f"bounds of {name} must lie within {least:g} and {most:g}, got {given}")
    return low, high
