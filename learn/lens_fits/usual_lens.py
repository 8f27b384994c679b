"""The usual lens of a data set, and how far each fitted lens deviates from it."""

from __future__ import annotations

import dataclasses

import torch
from scipy.special import gammainc, gammaincinv
from torch import Tensor, nn

from learn.lens_fits.lens_fits import NAMES, LensFits

#: The parameters whose logarithm scatters, rather than they do.
_POSITIVE = [
    name.removeprefix("source_") in ("theta_E", "amplitude", "R_sersic", "n_sersic")
    for name in NAMES
]
#: Fraction of all lenses, those that are most alike, that the usual lens is taken from.
_CROWD = 1 / 3
_STEPS = 20
#: Least scatter and largest error that count, in arcsec and pure numbers.
_LEAST, _LARGEST = 1e-6, 1e3


class UsualLens(nn.Module):
    """The usual lens of a data set, and the scatter about it.

    They are those of the third of the lenses that are most alike, found by the concentration steps
    of the minimum covariance determinant (Rousseeuw & Van Driessen 1999, Technometrics 41, 212),
    with each lens's own errors taken off the scatter. If all images show one lens, as in the
    published data sets, hardly more than the position of the source scatters, and the effect of
    substructure on the parameters of a fit stands out in units of their errors.
    """

    mean: Tensor
    scatter: Tensor

    def __init__(self) -> None:
        super().__init__()
        count = len(NAMES)
        self.register_buffer("mean", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("scatter", torch.eye(count, dtype=torch.float64))

    @torch.no_grad()
    def learn(self, fits: LensFits) -> None:
        """Take mean and scatter from fits; those that have not converged do not count."""
        values, errors = _locate(fits.rows(fits.converged) if fits.converged.any() else fits)
        if len(values) < 2:
            return
        core = max(2, round(_CROWD * len(values)))
        few, count = core / len(values), values.shape[1]
        # A part of a normal distribution about its middle scatters less than all of it.
        whole = few / _chi2_cdf(_chi2_quantile(few, count), count + 2) if few < 1 else 1.0
        mean = values.quantile(0.5, 0)
        scatter = torch.diag((values - mean).abs().quantile(0.5, 0).square() + _LEAST)
        for _ in range(_STEPS):
            distance = _deviation(values - mean, errors + scatter).square().sum(1)
            nearest = distance.argsort(stable=True)[:core]
            mean, own = values[nearest].mean(0), errors[nearest].mean(0)
            scatter = _excess(whole * torch.cov(values[nearest].mT), own)
        self.mean.copy_(mean)
        self.scatter.copy_(scatter)

    @torch.no_grad()
    def compare(self, fits: LensFits) -> LensFits:
        """Add the deviations from the usual lens to fits, as :attr:`LensFits.deviation`.

        They are in units of the error of each fit and of the scatter of the data set together, and
        uncorrelated. They turn with their image like the parameters that they belong to.
        """
        values, errors = _locate(fits)
        deviation = _deviation(values - self.mean, errors + self.scatter)
        return dataclasses.replace(fits, deviation=deviation)


def _chi2_quantile(probability: float, dof: int) -> float:
    return 2 * float(gammaincinv(dof / 2, probability))


def _chi2_cdf(x: float, dof: int) -> float:
    return float(gammainc(dof / 2, x / 2))


def _locate(fits: LensFits) -> tuple[Tensor, Tensor]:
    """Parameters (N, P), logarithms of those that are positive, and their covariance."""
    found = fits.params
    values = torch.stack([found[name] for name in NAMES], 1).double()
    positive = torch.tensor(_POSITIVE, device=values.device)
    floored = values.clamp_min(_LEAST)
    slope = torch.where(positive, 1 / floored, 1.0)
    count = len(NAMES)
    errors = fits.covariance[:, :count, :count].double() * slope[:, :, None] * slope[:, None]
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


def _excess(covariance: Tensor, errors: Tensor) -> Tensor:
    """Covariance (P, P) in excess of that of errors, in no direction negative."""
    narrow, wide = _power(errors, -0.5), _power(errors, 0.5)
    variance, axes = torch.linalg.eigh(narrow @ covariance @ narrow)
    excess: Tensor = wide @ (axes * (variance - 1).clamp_min(0)) @ axes.mT @ wide
    return excess


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of symmetric matrices (..., P, P), whose eigenvalues are taken to be positive."""
    values, axes = torch.linalg.eigh(matrix)
    power: Tensor = (axes * values.clamp_min(_LEAST**2).pow(exponent)[..., None, :]) @ axes.mT
    return power
