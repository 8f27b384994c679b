"""The smooth lens that was fitted to each image, as numbers that a head can start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.fitting.scene import LensScene

#: Of the lens and its source, which every fit knows.
NAMES = LensScene("EPL").names
#: Ranges of the decimal logarithms of errors and of chi^2 over the degrees of freedom; the last is
#: that of images without noise, down to the rounding of single precision.
_LOG_ERROR, _LOG_CHI2, _LOG_CHI2_NOISE_FREE = (-4.0, 1.0), (-1.0, 4.0), (-9.0, -1.0)

#: How many numbers :func:`facts` gives of an image.
FACTS = 3 * len(NAMES) + 4


class Fit(NamedTuple):
    """Smooth lenses of B images, as :func:`lensphys.fit` has found them."""

    params: dict[str, Tensor]
    """(B,) best fits, by name"""
    covariance: Tensor
    """(B, P, P) of them, in their order; infinite variances where the image says nothing"""
    chi2_dof: Tensor
    """(B,) chi^2 over the degrees of freedom"""
    converged: Tensor
    """(B,) whether a minimum was found"""
    deviation: dict[str, Tensor] | None = None
    """(B,) by name, from the usual lens of a population, where they were compared with one"""

    @classmethod
    def of(
        cls,
        names: tuple[str, ...],
        params: NDArray[Any],
        covariance: NDArray[Any],
        chi2_dof: NDArray[Any],
        converged: NDArray[np.bool_],
    ) -> Fit:
        """From the arrays of a :class:`learn.lens_fits.store.LensPrior`.

        A fit that holds what is no number has not converged, and tells nothing.
        """
        values = torch.from_numpy(params).float()
        known = torch.from_numpy(covariance).float()
        chi2 = torch.from_numpy(chi2_dof).float()
        whole = values.isfinite().all(1) & chi2.isfinite()
        return cls(
            dict(zip(names, values.nan_to_num(0.0, 0.0, 0.0).unbind(1), strict=True)),
            known,
            torch.where(whole, chi2, torch.inf),
            torch.from_numpy(converged) & whole,
        )

    @property
    def errors(self) -> dict[str, Tensor]:
        """(B,) standard errors of the parameters; infinite where the image says nothing."""
        variance = self.covariance.diagonal(dim1=1, dim2=2)
        errors = torch.where(variance >= 0, variance, torch.inf).sqrt()
        return dict(zip(self.params, errors.unbind(1), strict=True))

    @property
    def scene(self) -> LensScene:
        """What was fitted."""
        return LensScene("EPL", lens_light=len(self.params) > len(NAMES))

    def changed(self, change: Callable[[Tensor], Tensor]) -> Fit:
        """All numbers of it under a change: of their rows, or of their device."""
        return Fit(
            {name: change(values) for name, values in self.params.items()},
            change(self.covariance),
            change(self.chi2_dof),
            change(self.converged),
            self.deviation and {name: change(values) for name, values in self.deviation.items()},
        )

    def rows(self, indices: Tensor | slice) -> Fit:
        """Of some of the images."""
        return self.changed(lambda values: values[indices])


def facts(fit: Fit) -> Tensor:
    """What a network is told of fits, (B, 3P + 4) finite numbers about one.

    The P parameters of lens and source, their deviations from the usual lens of the population,
    the logarithm of what these add up to, the logarithms of the errors and of chi^2, and whether
    the fit has converged. Parameters and deviations come as asinh. The logarithm of chi^2 comes in
    two parts, so that images without noise do not squeeze those with noise into one value. The
    light of the lens, which not every data set has, is left out.

    Args:
        fit: compared with a population, see :class:`learn.lens_fits.population.Population`.
    """
    assert fit.deviation is not None
    known = fit.errors
    params, errors, deviation = (
        torch.stack([of[name] for name in NAMES], 1) for of in (fit.params, known, fit.deviation)
    )
    chi2, converged = fit.chi2_dof[:, None], fit.converged[:, None]
    parts = [
        params.asinh(),
        deviation.asinh(),
        deviation.square().sum(1, keepdim=True).log1p(),
        _log10(errors, *_LOG_ERROR),
        _log10(chi2, *_LOG_CHI2),
        _log10(chi2, *_LOG_CHI2_NOISE_FREE) - _LOG_CHI2_NOISE_FREE[1],
        converged,
    ]
    return torch.cat([part.float() for part in parts], 1)


def _log10(values: Tensor, low: float, high: float) -> Tensor:
    return values.clamp(10.0**low, 10.0**high).log10()
