"""Problems whose posterior is known."""

import types

import torch

from lensphys.fit_range import FitRange
from lensphys.fitting.bounds import Bounds


class NormalToy:
    """Normal likelihood of a few parameters, with bounds; meets the protocol of a problem.

    Args:
        ranges: fit range of each parameter.
        mean: of the likelihood, (B, P).
        precision: inverse covariance of the likelihood, (B, P, P) or (P, P).
    """

    def __init__(self, ranges, mean, precision, fixed=None):
        self.mean = mean
        self.precision = precision.expand(len(mean), -1, -1)
        self.bounds = Bounds(ranges, 1.0, torch.ones(len(mean)).to(mean), {}, fixed)
        self.images = torch.arange(4.0 * len(mean)).view(-1, 2, 2).to(mean)
        self.weight = torch.ones_like(self.images)

    def marginalised(self):
        return self

    def energy(self, z, index):
        return 0.5 * self.equations(z, index)[0]

    def equations(self, z, index):
        params, slope = self.bounds.forward(z, index)
        off = params - self.mean[index]
        pull = (self.precision[index] * off[:, None]).sum(2)
        normal = self.precision[index] * slope[:, :, None] * slope[:, None]
        return (off * pull).sum(1), normal, -slope * pull

    def result(self):
        """Result of a fit of this problem, as the sampler takes it."""
        names = tuple("abcdefgh"[: self.mean.shape[1]])
        return types.SimpleNamespace(
            params=dict(zip(names, self.mean.unbind(-1), strict=True)),
            names=names,
            chi2_dof=self.mean[:, 0],
            problem=self,
        )


def wide(count):
    """Ranges of parameters that the likelihood alone limits."""
    return {name: FitRange(low=-1e3, high=1e3) for name in "abcdefgh"[:count]}


def correlated(count, seed):
    """Precision (count, count) whose widths differ a hundredfold, with correlations."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(count, count, generator=generator, dtype=torch.float64)
    scale = torch.logspace(-1, 1, count, dtype=torch.float64)
    covariance = (mixed @ mixed.mT + 0.3 * torch.eye(count).double()) * scale[:, None] * scale
    return torch.linalg.inv(covariance)
