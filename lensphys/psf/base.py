"""Interface of all point-spread functions, and checks of their settings."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from lensphys.arrays import is_linked, take_numbers
from lensphys.ground.numbers import check_count, is_number
from lensphys.parameters import Parameter, is_transformed, needs_backward


class PSF(Protocol):
    """A point-spread function for images of one pixel scale."""

    @property
    def pixel_scale(self) -> float:
        """Width of a pixel of the images that it blurs, arcsec."""

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``.

        A PSF with one kernel for each of ``B`` images blurs those of shape ``(B, ..., ny, nx)``.
        """

    def take(self, index: Tensor) -> PSF:
        """PSF of some images of a batch, by their whole numbers; itself if it is one for all."""


def take_settings(psf: Any, *, numbers: tuple[str, ...], live: tuple[str, ...] = ()) -> None:
    """Check settings of a PSF, and replace those that are no numbers yet.

    A tensor among the ``live`` ones stays: it is read at each call.
    """
    for name in (*live, *numbers):
        value = getattr(psf, name)
        if isinstance(value, Tensor):
            if name not in live and is_linked(value):
                raise ValueError(f"{name} must be a number without gradients, got {value}")
        elif hasattr(value, "__array__"):
            taken = take_numbers(name, value, "" if name in ("truncation", "beta") else "arcsec")
            # What is no tensor is a number that stays as it is.
            value = taken.item() if isinstance(taken, Tensor) and taken.numel() == 1 else taken
        least = 1 if name == "beta" else 0
        if not (is_number(value) and value > least):
            wanted = "finite and above 1" if least else "positive and finite"
            raise ValueError(f"{name} must be {wanted}, got {value}")
        if name not in live or not isinstance(value, Tensor):
            object.__setattr__(psf, name, float(value))
    check_count("supersampling", psf.supersampling)


Round = TypeVar("Round", bound=Any)


def freeze_widths(psf: Round, *names: str) -> Round | None:
    """Return the PSF with numbers for its widths, by which kernels are kept, as they are now.

    None if gradients by one of them are wanted, which a kernel that is kept does not have.
    """
    live = {name: v for name in names if isinstance(v := getattr(psf, name), Tensor)}
    if not live:
        return psf
    if needs_backward(*live.values()) or is_transformed(*live.values()):
        return None
    fixed: dict[str, Any] = {name: value.item() for name, value in live.items()}
    return dataclasses.replace(psf, **fixed)


def as_one(value: Parameter) -> Parameter:
    """Return a number as it is, a tensor of one in double precision, on the CPU."""
    return value.to("cpu", torch.float64).reshape(()) if isinstance(value, Tensor) else value
