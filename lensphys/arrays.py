"""Numbers and arrays of a caller, taken as tensors that are ours.

One place decides what counts as real numbers: arrays of any byte order, stride and precision, also
read-only or mapped to a file, columns of tables, lists, and quantities with a unit. What can change
behind our back is copied; what carries gradients stays linked.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

#: Precisions that physics runs in.
PRECISIONS = (torch.float32, torch.float64)

#: Units of parameters, and what astropy calls them. Fluxes are in the unit of the caller's images,
#: which nobody knows.
_UNITS = {
    "": "",
    "arcsec": "arcsec",
    "rad": "rad",
    "s": "s",
    "e-/s": "electron / s",
    "km/s/Mpc": "km / (s Mpc)",
    "Mpc": "Mpc",
    "solar masses": "solMass",
}


def is_traced(value: Tensor) -> bool:
    """Tell if the values of a tensor are unknown: inside vmap, jvp or a compiled graph."""
    return torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(value)


def is_linked(value: Any) -> bool:
    """Tell if a value is a tensor that stays the caller's own, since gradients may reach it."""
    return isinstance(value, Tensor) and (
        value.requires_grad or isinstance(value, nn.Parameter) or is_traced(value)
    )


def take_numbers(name: str, value: Any, unit: str = "") -> float | Tensor:
    """Return a number, or a tensor of real numbers.

    Args:
        name: of the parameter, for errors.
        value: a number, tensor, array, column of a table, list or quantity.
        unit: of the parameter, to which a quantity is converted.

    Raises:
        ValueError: for what are no real numbers, masked ones, and quantities of another kind.
    """
    if type(value) is float:
        return value
    if isinstance(value, Tensor):
        _check_real(name, value)
        return value if is_linked(value) else _copy(value)
    if _is_scalar(value):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    array = _as_array(name, value, unit, "a number or a tensor")
    return torch.from_numpy(array) if array.ndim else float(array)


def read_numbers(name: str, value: Any, unit: str = "") -> float | Tensor:
    """Return numbers that are used now and not kept: tensors as they are, in full precision.

    Raises:
        ValueError: see :func:`take_numbers`.
    """
    if not isinstance(value, Tensor):
        return take_numbers(name, value, unit)
    _check_real(name, value)
    return value.float() if _is_half(value) else value


def take_map(name: str, value: Any) -> Tensor:
    """Return a tensor of floating-point numbers, such as an image, from a tensor or an array.

    Raises:
        ValueError: for what is neither, is masked, has a unit, or holds no real numbers.
    """
    if not isinstance(value, Tensor):
        return torch.from_numpy(_as_array(name, value, "flux", "a tensor or an array"))
    _check_real(name, value)
    if not value.is_floating_point():
        return value.double()
    return value if is_linked(value) else _copy(value)


def in_precision(name: str, value: Any) -> Tensor:
    """Return a map to compute with: as it is in single or double precision, else converted.

    Raises:
        ValueError: see :func:`take_map`.
    """
    if isinstance(value, Tensor) and value.dtype in PRECISIONS:
        return value
    given = take_map(name, value)
    return given.float() if _is_half(given) else given


def take_positions(x: Any, y: Any) -> tuple[Any, Any]:
    """Return coordinates as tensors: those that are tensors as they are, others converted.

    The finer precision of two arrays or tensors decides, and a number takes that of the other; what
    stands beside a tensor goes to its device. Anything else is left to
    :func:`lensphys.parameters.check_positions`.

    Raises:
        ValueError: for arrays that hold no real numbers, or have a unit that is no angle.
    """
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return x, y
    device = next((v.device for v in (x, y) if isinstance(v, Tensor)), None)
    taken = [_take_position(name, v, device) for name, v in (("x", x), ("y", y))]
    if all(isinstance(v, Tensor) and v.dtype in PRECISIONS for v in taken):
        given = [v for v, raw in zip(taken, (x, y), strict=True) if not _is_scalar(raw)] or taken
        dtype = functools.reduce(torch.promote_types, (v.dtype for v in given))
        taken = [v.to(dtype) for v in taken]
    return taken[0], taken[1]


def _is_scalar(value: Any) -> bool:
    real = isinstance(value, float | int | np.floating | np.integer)
    return real and not isinstance(value, bool)


def _take_position(name: str, value: Any, device: torch.device | None) -> Any:
    if _is_scalar(value):
        return torch.tensor(float(value), dtype=torch.float64, device=device)
    many = hasattr(value, "__array__") or isinstance(value, list | tuple)
    if isinstance(value, Tensor | np.generic) or not many:
        return value
    return torch.from_numpy(_as_array(name, value, "arcsec", "a tensor or an array")).to(device)


class TakesPositions:
    """An object whose public methods ``(x, y, ...)`` take positions as tensors or as arrays.

    Methods themselves are written for tensors; each class that is derived converts for its own.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        for name, method in list(vars(cls).items()):
            if isinstance(method, FunctionType) and not name.startswith("_"):
                code = inspect.unwrap(method).__code__
                if code.co_varnames[:3] == ("self", "x", "y") and code.co_argcount > 2:
                    setattr(cls, name, _with_positions(method))


def _with_positions(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def evaluate(self: Any, x: Any, y: Any, *others: Any, **more: Any) -> Any:
        # Every call of a profile comes here: nothing that takes microseconds without need.
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            return method(self, x, y, *others, **more)
        x, y = take_positions(x, y)
        return _without_axes(_axes_lacking(x, y), method, self, x, y, *others, **more)

    return evaluate


def _axes_lacking(x: Any, y: Any) -> int:
    """Number of axes, up to two, that positions need to become a grid."""
    axes = [value.ndim if isinstance(value, Tensor) else 2 for value in (x, y)]
    return max(0, 2 - max(axes))


def _without_axes(
    lacking: int, method: Callable[..., Any], owner: Any, x: Any, y: Any, *others: Any, **more: Any
) -> Any:
    """Call a method with positions of fewer axes than a grid; its maps have as few."""
    if not lacking:
        return method(owner, x, y, *others, **more)
    x, y = torch.atleast_2d(x, y)
    return _drop_axes(method(owner, x, y, *others, **more), lacking)


def _drop_axes(found: Any, count: int) -> Any:
    """Drop the axes of length one that :func:`_without_axes` added to positions."""
    if isinstance(found, Tensor):
        return found.squeeze(-2) if count == 1 else found.squeeze(-1).squeeze(-1)
    if isinstance(found, dict):
        return {name: _drop_axes(value, count) for name, value in found.items()}
    return type(found)(_drop_axes(value, count) for value in found)


def _check_real(name: str, value: Tensor) -> None:
    if value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"{name} must be a number or a tensor of real ones, got {value.dtype}")


def _copy(value: Tensor) -> Tensor:
    """Return a copy, outside inference mode; of half precision in single."""
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False):
            return _copy(value)
    return value.float() if _is_half(value) else value.clone()


def _is_half(value: Tensor) -> bool:
    return value.is_floating_point() and value.dtype not in PRECISIONS


def _as_array(name: str, value: Any, unit: str, wanted: str) -> NDArray[Any]:
    """Return an array of our own, in single or double precision and the byte order of here."""
    kind = type(value).__name__
    if not (hasattr(value, "__array__") or isinstance(value, list | tuple)):
        raise ValueError(f"{name} must be {wanted}, got {kind}")
    if isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
        raise ValueError(f"{name} must be {wanted}, got a {kind} of tensors; use torch.stack")
    mask = getattr(value, "mask", None)
    if mask is not None and not callable(mask) and bool(np.any(mask)):
        raise ValueError(f"{name} must have no masked values; replace them, with filled(value)")
    if getattr(value, "unit", None) is not None:
        value = _strip(name, value, unit)
    try:
        array = np.asarray(getattr(value, "unmasked", value))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be {wanted}, got a {kind} that is no array") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be {wanted} of real ones, got an array of {array.dtype}")
    single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    with np.errstate(over="ignore"):  # the infinite are refused later, by name
        return np.array(array, dtype=np.float32 if single else np.float64, order="C")


def _strip(name: str, value: Any, unit: str) -> Any:
    """Return the numbers of a quantity, or of a column of a table, in the unit of a parameter."""
    try:
        return value.to(_UNITS.get(unit, "")).value
    except (TypeError, ValueError, AttributeError):
        known = f"in {unit}" if unit in _UNITS and unit else "without a unit"
        raise ValueError(
            f"{name} must be given {known}, got a quantity in {value.unit}; use its value alone"
        ) from None
