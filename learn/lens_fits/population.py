"""What the lenses of a data set have in common, and how far each is from that."""

from __future__ import annotations

import torch
from scipy.stats import chi2
from torch import Tensor, nn

from learn.lens_fits.parameters import NAMES, Fit

#: Whose logarithm scatters, rather than they do.
_POSITIVE = [
    name.removeprefix("source_") in ("theta_E", "amplitude", "R_sersic", "n_sersic")
    for name in NAMES
]
#: Of all lenses, those that are most alike: they say what is usual.
_CROWD = 1 / 3
_STEPS = 20
#: Least scatter and largest error that count, in arcsec and pure numbers.
_LEAST, _LARGEST = 1e-6, 1e3


class Population(nn.Module):
    """The usual lens of a data set, and the scatter about it.

    They are those of the third of the lenses that are most alike, found by the concentration steps
    of the minimum covariance determinant (Rousseeuw & Van Driessen 1999, Technometrics 41, 212),
    with each lens's own errors taken off the scatter. Where one lens stands behind all images, as
    in the published data sets, hardly more than the position of the source scatters, and what
    substructure does to the parameters of a fit stands out in units of their errors.
    """

    mean: Tensor
    scatter: Tensor

    def __init__(self) -> None:
        super().__init__()
        count = len(NAMES)
        self.register_buffer("mean", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("scatter", torch.eye(count, dtype=torch.float64))

    @torch.no_grad()
    def learn(self, fit: Fit) -> None:
        """Take usual values and scatter from fits; those that have not converged do not count."""
        values, errors = _located(fit.rows(fit.converged) if fit.converged.any() else fit)
        if len(values) < 2:
            return
        core = max(2, round(_CROWD * len(values)))
        few, count = core / len(values), values.shape[1]
        # A part of a normal distribution about its middle scatters less than all of it.
        whole = few / chi2.cdf(chi2.ppf(few, count), count + 2) if few < 1 else 1.0
        mean = values.quantile(0.5, 0)
        scatter = torch.diag((values - mean).abs().quantile(0.5, 0).square() + _LEAST)
        for _ in range(_STEPS):
            distance = _deviation(values - mean, errors + scatter).square().sum(1)
            nearest = distance.argsort(stable=True)[:core]
            mean, own = values[nearest].mean(0), errors[nearest].mean(0)
            scatter = _beyond(whole * torch.cov(values[nearest].mT), own)
        self.mean.copy_(mean)
        self.scatter.copy_(scatter)

    @torch.no_grad()
    def compared(self, fit: Fit) -> Fit:
        """The fits with their deviations from the usual lens, as :attr:`Fit.deviation`.

        They are in units of the error of each fit and of the scatter of the population together,
        and uncorrelated. They turn with their image like the parameters that they belong to.
        """
        values, errors = _located(fit)
        deviation = _deviation(values - self.mean, errors + self.scatter)
        return fit._replace(deviation=dict(zip(NAMES, deviation.unbind(1), strict=True)))


def _located(fit: Fit) -> tuple[Tensor, Tensor]:
    """Parameters (B, P), logarithms of those that are positive, and their covariance."""
    values = torch.stack([fit.params[name] for name in NAMES], 1).double()
    positive = torch.tensor(_POSITIVE, device=values.device)
    floored = values.clamp_min(_LEAST)
    slope = torch.where(positive, 1 / floored, 1.0)
    count = len(NAMES)
    errors = fit.covariance[:, :count, :count].double() * slope[:, :, None] * slope[:, None]
    variance = errors.diagonal(dim1=1, dim2=2)
    known = (variance >= 0) & (variance < _LARGEST**2)
    both = known[:, :, None] & known[:, None]
    blank = torch.diag_embed(torch.where(known, 0.0, _LARGEST**2))
    errors = torch.where(both, errors.nan_to_num(0.0, 0.0, 0.0), 0.0) + blank
    return torch.where(positive, floored.log(), values), errors


def _deviation(difference: Tensor, covariance: Tensor) -> Tensor:
    """Differences (B, P) times the inverse square root of their covariance (B, P, P)."""
    deviation: Tensor = (_power(covariance, -0.5) @ difference[..., None])[..., 0]
    return deviation


def _beyond(covariance: Tensor, errors: Tensor) -> Tensor:
    """What a covariance (P, P) has in excess of that of errors, in no direction less than none."""
    narrow, wide = _power(errors, -0.5), _power(errors, 0.5)
    variance, axes = torch.linalg.eigh(narrow @ covariance @ narrow)
    excess: Tensor = wide @ (axes * (variance - 1).clamp_min(0)) @ axes.mT @ wide
    return excess


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of symmetric matrices (..., P, P), whose eigenvalues are taken to be positive."""
    values, axes = torch.linalg.eigh(matrix)
    power: Tensor = (axes * values.clamp_min(_LEAST**2).pow(exponent)[..., None, :]) @ axes.mT
    return power
