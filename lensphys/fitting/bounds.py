"""Bounds by transformation: fits step in unbounded coordinates and stay inside of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lensphys.parameters import Parameter

#: Default range of each parameter, and its unit: a bare number, the pixel, half the field of
#: view, or the brightest surface brightness of the image. A third "log" says that the logarithm
#: is what a step changes.
_RANGES: dict[str, tuple[str, float, float, str]] = {
    "theta_E": ("half field", 0.02, 1.2, "log"),
    "gamma": ("", 1.2, 2.8, ""),
    "e1": ("", -0.6, 0.6, ""),
    "e2": ("", -0.6, 0.6, ""),
    "gamma1": ("", -0.5, 0.5, ""),
    "gamma2": ("", -0.5, 0.5, ""),
    "center_x": ("half field", -1.0, 1.0, ""),
    "center_y": ("half field", -1.0, 1.0, ""),
    "amplitude": ("peak", 1e-6, 1e4, "log"),
    "R_sersic": ("half field", 1e-3, 2.0, "log"),
    "n_sersic": ("", 0.3, 8.0, "log"),
}
#: What the profiles allow beyond that; two components of up to 0.7 are always an ellipticity.
_ALLOWED = {"gamma": (1.05, 2.95), "n_sersic": (0.3, 10.0), "e1": (-0.7, 0.7), "e2": (-0.7, 0.7)}
_PREFIXES = ("source_", "lens_light_")
#: Starting values are kept this fraction of the range away from its ends, where steps vanish.
_MARGIN = 1e-3
#: Coordinates go no further than this to either side, 1e-4 of the range away from its ends: a
#: best fit at a bound would otherwise be looked for at infinity, where slopes are lost to rounding.
EDGE = 9.0


class Bounds:
    """The open interval of every parameter of every image, and the coordinates that undo it.

    ``p = low + (high - low) sigmoid(z)``, or the same of ``log p``.

    Args:
        names: of the ``P`` parameters.
        half_field: half the width of the images, arcsec.
        peak: the largest surface brightness of each image, ``(B,)``.
        overrides: ``name: (low, high)``.
        fixed: values, numbers or ``(B,)``, of parameters that are not fitted.

    Attributes:
        held: which parameters are fixed, ``(P,)``.

    Raises:
        ValueError: for an unknown name, for bounds that are not two finite numbers in order or
            leave the range of the parameter, and for fixed values that are not finite or of a
            wrong shape.
    """

    def __init__(
        self,
        names: Sequence[str],
        half_field: float,
        peak: Tensor,
        overrides: Mapping[str, tuple[float, float]],
        fixed: Mapping[str, Parameter] | None = None,
    ) -> None:
        fixed = fixed or {}
        check_names("bounds", overrides, names)
        check_names("fixed", fixed, names)
        units = {"": 1.0, "half field": half_field}
        low, high, log = [], [], []
        for name in names:
            unit, least, most, scale = _RANGES[_bare(name)]
            scaled = peak if unit == "peak" else torch.full_like(peak, units[unit])
            if name in overrides:
                least, most = _checked(name, overrides[name], positive=scale == "log")
                scaled = torch.ones_like(peak)
            low.append(least * scaled)
            high.append(most * scaled)
            log.append(scale == "log")
        self.low, self.high = torch.stack(low, -1), torch.stack(high, -1)
        self._log = torch.tensor(log, device=peak.device)
        self.held = torch.tensor([name in fixed for name in names], device=peak.device)
        values = [per_image(f"fixed {name}", fixed.get(name, 0.0), peak) for name in names]
        self._fixed = torch.stack(values, -1)

    def forward(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters ``(b, P)`` of the images ``index``, and their derivative by ``z``.

        Those that are fixed have their value whatever ``z`` is.
        """
        low, width = self._interval(index)
        s = torch.sigmoid(z)
        # Not 1 - s, which has no digits left at the upper end.
        value, slope = low + width * s, width * s * torch.sigmoid(-z)
        value = torch.where(self._log, torch.exp(value), value)
        slope = torch.where(self._log, value * slope, slope)
        return torch.where(self.held, self._fixed[index], value), slope * ~self.held

    def inverse(self, params: Tensor, index: Tensor) -> Tensor:
        """The coordinates of parameters ``(b, P)``; those out of bounds are moved inside."""
        low, width = self._interval(index)
        value = torch.where(self._log, torch.log(params.clamp_min(1e-30)), params)
        return torch.logit(((value - low) / width).clamp(_MARGIN, 1 - _MARGIN))

    def free(self, z: Tensor, gradient: Tensor) -> Tensor:
        """Which parameters may change: neither fixed, nor at a bound that ``gradient`` leaves."""
        return ((z.abs() < EDGE) | (z * gradient < 0)) & ~self.held

    def _interval(self, index: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.low[index], self.high[index]
        low = torch.where(self._log, torch.log(low), low)
        high = torch.where(self._log, torch.log(high), high)
        return low, high - low


def check_names(what: str, given: Mapping[str, object], names: Sequence[str]) -> None:
    """Refuses names that are not parameters, with the nearest one that is.

    Raises:
        ValueError: for the first unknown name.
    """
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
            raise ValueError(f"{what} names an unknown parameter {name!r}{hint}")


def per_image(name: str, value: Parameter, like: Tensor) -> Tensor:
    """A number or ``(B,)`` as ``(B,)``, in the dtype and on the device of ``like``.

    Raises:
        ValueError: for another shape, or a value that is not finite.
    """
    value = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if value.ndim and value.shape != like.shape:
        raise ValueError(
            f"{name} must be a number or of shape {tuple(like.shape)}, got {tuple(value.shape)}"
        )
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name} must be finite")
    return value.expand(like.shape).detach()


def _checked(name: str, given: tuple[float, float], *, positive: bool) -> tuple[float, float]:
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"bounds of {name} must be two finite numbers, low < high, got {given}")
    if positive and low <= 0:
        raise ValueError(f"bounds of {name} must be positive, got {given}")
    least, most = _ALLOWED.get(_bare(name), (-math.inf, math.inf))
    if low < least or high > most:
        raise ValueError(f"bounds of {name} must lie within {least:g} and {most:g}, got {given}")
    return low, high


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
