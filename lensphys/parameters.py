"""Profile parameters: declared with unit and range, checked, aligned with a grid."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from lensphys.arrays import PRECISIONS, TakesPositions, is_traced, read_numbers, take_numbers
from lensphys.fit_range import FitRange
from lensphys.ground.numbers import is_count, is_number

#: A number, or a tensor of shape ``(B,)`` with one value an image.
Parameter: TypeAlias = float | Tensor


def parameter(
    default: Any = dataclasses.MISSING,
    *,
    unit: str = "",
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    fit: FitRange | None = None,
) -> Any:
    """Declare a dataclass field that is a physical parameter, with its unit and closed range.

    ``open_low`` excludes the lower bound itself. ``fit`` makes the parameter one that a fit may
    look for.
    """
    metadata = {"unit": unit, "low": low, "high": high, "open_low": open_low}
    # A dictionary, since torch.compile reads metadata and knows no class of ours.
    metadata |= {"fit": None if fit is None else dataclasses.asdict(fit)}
    return dataclasses.field(default=default, metadata=metadata)


def is_concrete(value: Parameter) -> bool:
    """Tell if the value of a parameter is known."""
    return not (isinstance(value, Tensor) and is_traced(value))


def _inside(value: float, low: float, high: float, open_low: bool) -> bool:
    return math.isfinite(value) and low <= value <= high and not (open_low and value == low)


@functools.cache
def _round(low: float, high: float, dtype: torch.dtype) -> tuple[float, float]:
    low, high = torch.tensor((low, high), dtype=dtype).tolist()
    return low, high


def check_range(name: str, value: Parameter, low: float, high: float, open_low: bool) -> None:
    """Raise ValueError, naming the range, unless a number or every value of a tensor is in it."""
    if isinstance(value, Tensor):
        if is_traced(value):
            return
        with torch.no_grad():
            # The extremes suffice: NaN anywhere makes both of them NaN.
            extremes = torch.aminmax(value.flatten()) if value.numel() else ()
            if value.dtype in PRECISIONS:
                # Rounded as the values are, so that a bound itself is inside in float32 too.
                low, high = _round(low, high, value.dtype)
            valid = all(_inside(extreme.item(), low, high, open_low) for extreme in extremes)
    else:
        valid = _inside(value, low, high, open_low)
    if not valid:
        bracket = "(" if open_low or low == -math.inf else "["
        allowed = f"finite and in {bracket}{low:g}, {high:g}{')' if high == math.inf else ']'}"
        shown = value if not isinstance(value, Tensor) or value.numel() == 1 else "a tensor"
        raise ValueError(f"{name} must be {allowed}, got {shown}")


def take_parameter(name: str, value: Any, unit: str = "") -> Parameter:
    """Return a parameter to be kept, finite; see :func:`lensphys.arrays.take_numbers`.

    Raises:
        ValueError: for what are no real numbers, or not all of them finite.
    """
    taken = take_numbers(name, value, unit)
    check_range(name, taken, -math.inf, math.inf, False)
    return taken


def read_parameter(name: str, value: Any, unit: str = "", *, positive: bool = False) -> Parameter:
    """Return a parameter of one call, finite; see :func:`lensphys.arrays.read_numbers`.

    Raises:
        ValueError: for what are no real numbers, or not all of them finite (and positive).
    """
    read = read_numbers(name, value, unit)
    check_range(name, read, 0.0 if positive else -math.inf, math.inf, positive)
    return read


def check_width(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is one positive and finite number, arcsec."""
    if not (is_number(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite (arcsec), got {value!r}")


def check_window(window: Any, n_pix: Any, center_x: Any, center_y: Any) -> None:
    """Raise ValueError unless a square to search has a width, a middle and some pixels."""
    check_width("window", window)
    if not is_count(n_pix) or n_pix < 4:
        raise ValueError(f"n_pix must be at least 4, a whole number, got {n_pix!r}")
    for name, value in (("center_x", center_x), ("center_y", center_y)):
        if not is_number(value):
            raise ValueError(f"{name} must be a finite number (arcsec), got {value!r}")


def check_batches(named: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    """Raise ValueError, naming each, unless batch shapes go together."""
    # Sizes are compared one by one: torch.broadcast_shapes raises within a compiled graph.
    sizes: dict[int, int] = {}
    for _, shape in named:
        for axis, size in enumerate(reversed(shape)):
            if size != 1 and sizes.setdefault(axis, size) != size:
                given = ", ".join(f"{name} {shape}" for name, shape in named if shape)
                raise ValueError(f"batches must have one shape, got {given}")


def check_positions(x: Any, y: Any) -> None:
    """Raise ValueError unless coordinates are tensors of floating-point numbers."""
    for name, value in (("x", x), ("y", y)):
        if not (isinstance(value, Tensor) and value.dtype in PRECISIONS):
            if isinstance(value, Tensor):
                kind, hint = str(value.dtype), "positions are float32 or float64"
            else:
                kind, hint = (
                    type(value).__name__,
                    f"torch.tensor(numpy.array({name}, float)) is one",
                )
            raise ValueError(
                f"{name} must be a tensor of floating-point numbers, got {kind}; {hint}"
            )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Profile(TakesPositions):
    """Named parameters of a mass or light profile, checked and aligned with a grid.

    Subclasses are frozen dataclasses whose parameters are fields declared with :func:`parameter`.
    Any other field is a setting of the profile, such as the order of a multipole: the same for a
    whole batch, and left to the subclass to check.

    A parameter is a number, tensor, array, list or quantity; arrays and tensors are copied, so that
    nobody changes a profile from outside. A tensor that requires gradients, or an ``nn.Parameter``,
    stays linked: gradients reach it, and the profile follows the steps of an optimiser.

    Raises:
        ValueError: on creation, naming the parameter that is not finite, out of range, or whose
            batch shape does not go with that of the others.
    """

    #: Pairs of fields that together form an ellipticity, whose modulus must be below 1.
    ellipticity: ClassVar[tuple[str, str] | None] = None

    def __post_init__(self) -> None:
        shapes = {}
        for field in parameter_fields(self):
            given, meta = getattr(self, field.name), field.metadata
            value = take_numbers(field.name, given, meta["unit"])
            check_range(field.name, value, meta["low"], meta["high"], meta["open_low"])
            if value is not given:
                object.__setattr__(self, field.name, value)
            shapes[field.name] = tuple(value.shape) if isinstance(value, Tensor) else ()
        try:
            shared_shape(shapes.values())
        except RuntimeError:
            given = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
            raise ValueError(f"parameters must share one batch shape, got {given}") from None
        if self.ellipticity:
            # In half precision 0.9999 is 1.
            e1, e2 = (read_numbers(name, getattr(self, name)) for name in self.ellipticity)
            check_range(
                f"{'^2 + '.join(self.ellipticity)}^2", e1 * e1 + e2 * e2, 0.0, 0.9999, False
            )

    @classmethod
    def parameter_names(cls) -> tuple[str, ...]:
        """Names of the physical parameters."""
        return tuple(field.name for field in parameter_fields(cls))

    @classmethod
    def fit_ranges(cls) -> dict[str, FitRange]:
        """Fit range of every parameter that declares one, within what the profile allows."""
        ranges = {}
        for field in parameter_fields(cls):
            if (declared := field.metadata["fit"]) is not None:
                allowed = field.metadata["low"], field.metadata["high"]
                if cls.ellipticity and field.name in cls.ellipticity:
                    # Two components of up to 0.7 are always an ellipticity.
                    allowed = (-0.7, 0.7)
                ranges[field.name] = FitRange(**declared | {"allowed": allowed})
        return ranges

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the profile on another device or in another precision, as :meth:`torch.Tensor.to`.

        Numbers stay numbers: they take device and precision of the positions.

        Raises:
            RuntimeError: for what is no device or precision here.
        """
        torch.empty(0).to(*args, **kwargs)  # parameters that are numbers alone would take anything
        named = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return dataclasses.replace(
            self, **{name: move(v, *args, **kwargs) for name, v in named if isinstance(v, Tensor)}
        )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape that all parameters broadcast to."""
        values = (getattr(self, field.name) for field in parameter_fields(self))
        return shared_shape(tuple(v.shape) for v in values if isinstance(v, Tensor))

    def align(self, like: Tensor) -> dict[str, Tensor]:
        """Return the parameters in the dtype and on the device of ``like``, with two trailing axes.

        A ``(B,)`` parameter becomes ``(B, 1, 1)`` and broadcasts against a ``(ny, nx)`` grid.

        Raises:
            ValueError: for positions ``like`` that are no floating-point tensor, or a batch of them
                that does not go with that of the profile.
        """
        check_positions(like, like)
        if like.ndim > 2:
            name = type(self).__name__
            check_batches([(name, self.batch_shape), ("positions", tuple(like.shape[:-2]))])
        named = ((field.name, getattr(self, field.name)) for field in parameter_fields(self))
        return {name: align(value, like) for name, value in named}

    def align_members(self, like: Tensor) -> dict[str, Tensor]:
        """Return the parameters ``(B, K)`` of a population as :meth:`align` does, without axes."""
        return {
            field.name: torch.as_tensor(
                getattr(self, field.name), dtype=like.dtype, device=like.device
            )
            for field in parameter_fields(self)
        }


def parameter_fields(profile: Profile | type[Profile]) -> list[dataclasses.Field[Any]]:
    """Fields of a profile that are its parameters, declared with :func:`parameter`."""
    return [field for field in dataclasses.fields(profile) if "unit" in field.metadata]


def shared_shape(shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape that all broadcast to.

    Raises:
        RuntimeError: if they do not go together.
    """
    different = set(shapes) - {()}
    if len(different) < 2:
        return next(iter(different), ())
    if torch.compiler.is_compiling():
        shape: tuple[int, ...] = torch.broadcast_shapes(*different)
        return shape
    # Torch's takes as long as several operations on a map, and two seconds to import sympy first.
    try:
        return np.broadcast_shapes(*different)
    except ValueError as error:
        raise RuntimeError(str(error)) from None


def is_transformed(*values: Tensor) -> bool:
    """Tell if a compiler, a transform of torch.func or forward-mode derivatives are active.

    A function with a backward pass of its own cannot be called then; under a transform not even on
    tensors that are not transformed.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or any(torch.autograd.forward_ad.unpack_dual(v).tangent is not None for v in values)
    )


def needs_backward(*values: Tensor) -> bool:
    """Tell if backward derivatives are wanted, and neither a transform nor forward ones."""
    wanted = torch.is_grad_enabled() and any(value.requires_grad for value in values)
    return wanted and not is_transformed(*values)


def move(value: Parameter, *args: Any, **kwargs: Any) -> Parameter:
    """A parameter as :meth:`torch.Tensor.to` moves or converts it; a number stays a number."""
    return value.to(*args, **kwargs) if isinstance(value, Tensor) else value


def align(value: Parameter, like: Tensor) -> Tensor:
    """Return a parameter in the dtype and on the device of ``like``; see :meth:`Profile.align`."""
    if not isinstance(value, Tensor):
        return torch.tensor(value, dtype=like.dtype, device=like.device)
    value = value.to(like.device, like.dtype)
    return value[..., None, None] if value.ndim else value
