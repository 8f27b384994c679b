"""Fits with sources of more and more amplitudes, until the images hold no more."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.rivals import weigh_noise
from lensphys.fitting.linear.rows import read_values
from lensphys.fitting.linear.settings import LinearModel
from lensphys.fitting.optimiser import State

#: Standard deviations of chi^2 below its mean from which on noise is smaller than given; and above
#: it, from which on another order is tried in any case.
_BELOW, _ABOVE = -2.0, 4.0
#: Gain of the log evidence from which on another order is tried.
_GAIN = 3.0
#: Models that follow in any case, if any does: their evidence and parameters are compared.
_LEAST = 2
#: Effective number of amplitudes for which what a source of finite order lacks moves the lens as
#: much as noise does. Measured on 64 simulated lenses with spiral and clumpy sources.
_LACKING = 150.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """Fit of all images with one kind of scene."""

    problem: LinearProblem
    state: State

    @functools.cached_property
    def measured(self) -> Mapping[str, Tensor]:
        """Quantities that follow from the amplitudes; see :meth:`LinearProblem.measure`."""
        return self.problem.measure(self.state.z, self.state.index)

    @property
    def values(self) -> Tensor:
        """Parameters ``(B, P)``."""
        return self.problem.bounds.forward(self.state.z, self.state.index)[0]

    @property
    def best(self) -> tuple[dict[str, Tensor], Tensor]:
        """Parameters by name, and the regularisation: where another fit starts."""
        return read_values(self.problem, self.state, {})

    def find_excess(self) -> Tensor:
        """Standard deviations ``(B,)`` of chi^2 above what noise explains."""
        dof = (self.problem.weight > 0).sum((-2, -1)) - self.measured["effective"]
        return (self.measured["chi2"] - dof) / torch.sqrt(2 * dof)

    def is_explained(self, deviations: float) -> bool:
        """True if chi^2 of every image is at most so many deviations above its mean."""
        return bool((self.find_excess() <= deviations).all())

    def gains(self, before: Stage) -> bool:
        """True if the evidence of any image is higher than that of a stage before."""
        high, low = (
            stage.measured["log_posterior"] + weigh_noise(stage.problem.weight)
            for stage in (self, before)
        )
        return bool((high > low + _GAIN).any())


def raise_order(
    first: Stage,
    models: Sequence[LinearModel],
    fit_next: Callable[[LinearModel, Stage], Stage],
) -> tuple[Stage, Tensor]:
    """Fit one model after the other while an image asks for it.

    All images of the batch take part in each. None follows where chi^2 of every image is less than
    noise explains: the noise is then smaller than given, and more amplitudes would follow it.

    Args:
        first: fit to begin from.
        models: what may follow, with more and more amplitudes.
        fit_next: fits a model, from where a stage has ended.

    Returns:
        The last stage; and by how much the last change of the order has moved the parameters of
        lens and lens light, ``(B, P)``, float64: 0 where fewer than two orders followed.
    """
    stages = [first]
    for model in models:
        last, followed = stages[-1], len(stages) - 1
        if followed == 0 and last.is_explained(_BELOW):
            break
        enough = followed >= _LEAST and last.is_explained(_ABOVE)
        if enough and not last.gains(stages[-2]):
            break
        stages.append(fit_next(model, last))
    end = stages[-1]
    shift = torch.zeros_like(end.values, dtype=torch.float64)
    if len(stages) > _LEAST:
        shift = end.values.double() - stages[-2].values.double()
        names = end.problem.scene.names
        own = [name.startswith("source_") for name in names]
        shift = shift.masked_fill(torch.tensor(own, device=shift.device), 0.0)
    return end, shift


def widen(covariance: Tensor, stage: Stage, shift: Tensor) -> Tensor:
    """Count what a source of finite order lacks as an error, up to the priors.

    Noise that is smaller than given stands for that already.

    Args:
        covariance: ``(B, P, P)``.
        stage: last fit of all images.
        shift: change of the parameters with the last change of the order, ``(B, P)``.
    """
    more = 1 + stage.measured["effective"] / _LACKING
    more = torch.where(stage.find_excess() > _BELOW, more, 1.0)
    wide = covariance * more[:, None, None].to(covariance)
    wide = wide + (shift[:, :, None] * shift[:, None]).to(covariance)
    error = wide.diagonal(dim1=1, dim2=2).sqrt()
    ratio = (stage.problem.priors.sd.to(error) / error).clamp_max(1.0).nan_to_num(1.0)
    return wide * ratio[:, :, None] * ratio[:, None]
