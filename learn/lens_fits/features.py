"""Features of lens fits: the numbers about a fitted lens that the head of a network receives."""

from __future__ import annotations

import torch
from torch import Tensor

from learn.lens_fits.lens_fits import NAMES, LensFits
from learn.lens_fits.maps import CORES
from lensphys.detection.maps import STATISTICS

#: Ranges of the decimal logarithms of errors and of chi^2 over the degrees of freedom; the last is
#: that of images without noise, down to the rounding of single precision.
_LOG_ERROR, _LOG_CHI2, _LOG_CHI2_NOISE_FREE = (-4.0, 1.0), (-1.0, 4.0), (-9.0, -1.0)

#: Number of features of an image, see :func:`fit_features` and :func:`search_features`.
FEATURES, SEARCH_FEATURES = 3 * len(NAMES) + 4, len(CORES) * len(STATISTICS)
#: Least S/N whose logarithm counts.
_FLOOR = 1e-3


def fit_features(fits: LensFits) -> Tensor:
    """Features (N, 3P + 4) of lens fits, finite numbers about one.

    The P parameters of lens and source, their deviations from the usual lens of the data set, the
    logarithm of the sum of squares of these, the logarithms of the errors and of chi^2, and 1 where
    the fit has converged. Parameters and deviations come as asinh. The logarithm of chi^2 comes in
    two parts, so that images without noise do not squeeze those with noise into one value. The
    light of the lens, which not every data set has, is left out.

    Args:
        fits: compared with a usual lens, see :class:`learn.lens_fits.usual_lens.UsualLens`.
    """
    assert fits.deviation is not None
    found, known = fits.params, fits.errors
    params, errors = (torch.stack([of[name] for name in NAMES], 1) for of in (found, known))
    chi2, converged = fits.chi2_dof[:, None], fits.converged[:, None]
    parts = [
        params.asinh(),
        fits.deviation.asinh(),
        fits.deviation.square().sum(1, keepdim=True).log1p(),
        _log10(errors, *_LOG_ERROR),
        _log10(chi2, *_LOG_CHI2),
        _log10(chi2, *_LOG_CHI2_NOISE_FREE) - _LOG_CHI2_NOISE_FREE[1],
        converged,
    ]
    return torch.cat([part.float() for part in parts], 1)


def search_features(fits: LensFits) -> Tensor:
    """Logarithms (N, 48) of the moduli of the S/N statistics of lens fits.

    They are the order statistics of :meth:`lensphys.detection.maps.DetectionMaps.statistics`, for
    each profile that is searched for: what the maps of a matched filter hold without a network.
    """
    assert fits.statistics is not None
    return (fits.statistics.abs() + _FLOOR).log()


def _log10(values: Tensor, low: float, high: float) -> Tensor:
    return values.clamp(10.0**low, 10.0**high).log10()
