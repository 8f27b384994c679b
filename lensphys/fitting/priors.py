"""Gaussian priors of the parameters of a fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lensphys.fitting.bounds import check_names, per_image
from lensphys.parameters import Parameter


class Priors:
    """Independent Gaussian priors, each of which adds ``((p - mean) / sd)^2`` to the objective.

    Args:
        names: of the ``P`` parameters, in order.
        mean: ``(B, P)``, finite.
        sd: standard deviations ``(B, P)``, positive; infinite where there is no prior.

    Attributes:
        names: see above.
        mean, sd: see above, float64.
        active: mask of the parameters with a prior, ``(P,)``.
    """

    def __init__(self, names: tuple[str, ...], mean: Tensor, sd: Tensor) -> None:
        self.names = names
        self.mean, self.sd = mean.detach().double(), sd.detach().double()
        self.active = self.sd.isfinite().any(0)
        self._precision = self.sd.square().reciprocal()

    @classmethod
    def read(
        cls, given: Mapping[str, tuple[Parameter, Parameter]], names: tuple[str, ...], like: Tensor
    ) -> Priors:
        """Take priors of a caller: mean and standard deviation, numbers or ``(B,)``, by name.

        Args:
            given: ``name: (mean, sd)``.
            names: of all parameters, in order.
            like: ``(B,)``, of the device of the images.

        Raises:
            ValueError: for an unknown name, for what is no pair, and for values that are not
                finite, or not positive where they are standard deviations.
        """
        check_names("priors", given, names)
        pairs = {name: _check_pair(name, pair, like.double()) for name, pair in given.items()}
        none = torch.zeros_like(like).double(), torch.full_like(like, math.inf).double()
        mean, sd = zip(*(pairs.get(name, none) for name in names), strict=True)
        return cls(names, torch.stack(mean, -1), torch.stack(sd, -1))

    def take(self, index: Tensor) -> Priors:
        """Priors of some images of the batch."""
        return Priors(self.names, self.mean[index], self.sd[index])

    def overlaid(self, other: Priors) -> Priors:
        """Priors of the same images, with those of ``other`` in place of ours where it has any."""
        known = other.sd.isfinite()
        mean = torch.where(known, other.mean, self.mean)
        return Priors(self.names, mean, torch.where(known, other.sd, self.sd))

    def penalty(self, params: Tensor, index: Tensor) -> Tensor:
        """Sum of ``((p - mean) / sd)^2`` for parameters ``(b, P)`` of images: ``(b,)``."""
        off = params.double() - self.mean[index]
        return (off.square() * self._precision[index]).sum(-1)

    def pull(self, params: Tensor, index: Tensor) -> Tensor:
        """Minus half the derivative of the penalty by each parameter, ``(b, P)``, float64."""
        return (self.mean[index] - params.double()) * self._precision[index]

    def precision(self, index: Tensor) -> Tensor:
        """Inverse variances ``(b, P)``, float64; 0 where there is no prior."""
        return self._precision[index]

    def log_normalisation(self, low: Tensor, high: Tensor) -> Tensor:
        """Log of the density that a penalty of 0 stands for, ``(B, P)``, float64.

        Args:
            low, high: bounds ``(B, P)``, at which a prior is cut off; it is flat between them where
                it is not Gaussian.
        """
        known = self.sd.isfinite()
        sd = torch.where(known, self.sd, 1.0)
        below, above = ((end.double() - self.mean) / sd for end in (low, high))
        inside = torch.special.ndtr(above) - torch.special.ndtr(below)
        gaussian = -torch.log(math.sqrt(2 * math.pi) * sd * inside.clamp_min(1e-300))
        return torch.where(known, gaussian, -torch.log(high.double() - low.double()))

    def named(self, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation, each ``(B,)``, of the parameters with a prior."""
        columns = zip(self.names, self.mean.unbind(-1), self.sd.unbind(-1), strict=True)
        return {
            name: (mean.to(dtype), sd.to(dtype))
            for name, mean, sd in columns
            if bool(sd.isfinite().any())
        }


def _check_pair(name: str, given: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, each ``(B,)``."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(f"prior of {name} must be (mean, standard deviation), got {given!r}")
    mean, sd = (
        per_image(f"{part} of the prior of {name}", value, like)
        for part, value in zip(("mean", "standard deviation"), given, strict=True)
    )
    if not bool((sd > 0).all()):
        raise ValueError(f"standard deviation of the prior of {name} must be positive")
    return mean, sd
