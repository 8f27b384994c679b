"""Features of lens fits."""

from typing import Any

import numpy as np
import pytest
import torch

from learn.lens_fits.features import FEATURES, SEARCH_FEATURES, fit_features, search_features
from learn.lens_fits.lens_fits import NAMES, LensFits
from tests.learn.conftest import compare


def test_features_of_a_broken_fit_are_finite() -> None:
    count, width = 3, len(NAMES)
    params, covariance = np.ones((count, width)), np.tile(np.eye(width), (count, 1, 1))
    params[0, 2], covariance[1, 3, 3], covariance[2, 4, 4] = np.nan, np.inf, -1.0
    arrays = {"params": params, "covariance": covariance}
    arrays |= {"chi2_dof": np.ones(count), "converged": np.ones(count, bool)}
    arrays["statistics"] = np.zeros((count, SEARCH_FEATURES))
    fits = LensFits.of_arrays(NAMES, arrays)
    assert fits.converged.tolist() == [False, True, True]
    features = fit_features(compare(fits))
    assert features.shape == (count, FEATURES)
    assert features.isfinite().all()
    assert features.abs().max() <= 30.0
    assert torch.isinf(fits.errors[NAMES[3]][1])
    assert torch.isinf(fits.errors[NAMES[4]][2])


def test_features_hold_parameters_deviations_and_convergence_in_this_order(
    random_fits: Any,
) -> None:
    fits = random_fits(20, lens_light=True, compared=True)
    assert fits.deviation is not None
    fits.converged[0] = False
    features, count = fit_features(fits), len(NAMES)
    expected = torch.stack([fits.params[name] for name in NAMES], 1).asinh().float()
    torch.testing.assert_close(features[:, :count], expected)
    torch.testing.assert_close(features[:, count : 2 * count], fits.deviation.asinh().float())
    assert features[:, -1].tolist() == [0.0] + [1.0] * 19


def test_images_with_and_without_noise_differ_in_chi2_alike(random_fits: Any) -> None:
    """A factor of ten counts the same at chi^2 of 1 and of one part in a million."""
    fits = random_fits(4, compared=True)
    fits.chi2_dof = torch.tensor([1.0, 10.0, 1e-6, 1e-5])
    seen = fit_features(fits)[:, -3:-1].sum(1)
    assert (seen[1] - seen[0]).item() == pytest.approx(1.0, abs=1e-5)
    assert (seen[3] - seen[2]).item() == pytest.approx(1.0, abs=1e-5)


def test_features_of_a_search_are_logarithms_of_the_moduli_of_the_snr(random_fits: Any) -> None:
    """A place of no S/N at all counts as one of a thousandth."""
    fits = random_fits(3)
    fits.statistics[:, 0] = torch.tensor([0.0, 10.0, -10.0])
    features = search_features(fits)
    assert features.shape == (3, SEARCH_FEATURES)
    assert features.isfinite().all()
    expected = torch.tensor([0.001, 10.001, 10.001], dtype=torch.float64).log()
    torch.testing.assert_close(features[:, 0], expected)
