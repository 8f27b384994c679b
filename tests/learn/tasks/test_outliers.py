"""Flags of images that are unlike those of the training."""

from typing import Any

import numpy as np
import pytest
import torch

from learn.lens_fits.features import FEATURES
from learn.tasks.outliers import (
    LEAST_IMAGES,
    NOT_LENS,
    POOR,
    UNLIKE,
    Observed,
    OutlierTest,
    Resemblance,
    Scatter,
    find_limits,
)

WIDTH, RATE = 6, 0.05


def correlated(count: int, seed: int = 0, width: int = WIDTH) -> torch.Tensor:
    """Features of very different sizes, with correlations, in no order."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(9))
    sizes = 10.0 ** (torch.arange(width) % 6 - 3)
    return 5 * sizes + torch.randn(count, width, generator=rng) @ mixing * sizes


def with_fits(count: int, seed: int = 0) -> Observed:
    chi2 = 1 + 0.02 * torch.randn(count, generator=torch.Generator().manual_seed(seed + 100))
    error = torch.rand(count, generator=torch.Generator().manual_seed(seed + 200)) ** 4
    return Observed(correlated(count, seed, FEATURES), correlated(count, seed + 50, 2), chi2, error)


def without(features: torch.Tensor) -> Observed:
    return Observed(features)


def learned(observed: Observed) -> OutlierTest:
    test = OutlierTest(WIDTH, sees_fits=observed.misfit is not None)
    test.learn(observed, RATE)
    return test


@pytest.mark.parametrize("make", [with_fits, lambda n, seed: without(correlated(n, seed))])
def test_the_rate_of_false_flags_is_the_one_that_was_asked_for(make: Any) -> None:
    judged = learned(make(2000, 0)).judge(make(20_000, 1))
    # The limit itself comes from 2,000 images, and scatters by half a percent.
    assert judged.flagged.mean() == pytest.approx(RATE, abs=0.015)
    rates = [judged.has(flag).mean() for flag in (NOT_LENS, POOR, UNLIKE)]
    if make is with_fits:
        np.testing.assert_allclose(rates, RATE / 3, atol=0.01)
        assert list(judged.columns) == ["chi2_dof", "radius_error", "misfit", "distance"]
    else:
        assert rates[:2] == [0, 0]
        assert list(judged.columns) == ["distance"]


def test_few_images_flag_what_is_beyond_all_of_them() -> None:
    rates = []
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=(30, 2))
        limits = find_limits(scores, 0.02)
        np.testing.assert_array_equal(limits, scores.max(0))
        new = np.random.default_rng(10_000 + seed).normal(size=(100, 2))
        rates.append((new > limits).mean(0))
    np.testing.assert_allclose(np.mean(rates, 0), 1 / 31, atol=0.008)


def test_each_test_is_exceeded_by_as_many_and_both_together_by_what_is_allowed() -> None:
    scores = np.random.default_rng(3).normal(size=(1000, 2))
    beyond = scores > find_limits(scores, 0.1)
    assert len({*beyond.sum(0)}) == 1
    assert 97 <= beyond.any(1).sum() <= 99
    twice = np.repeat(scores[:, :1], 2, 1)
    assert (twice > find_limits(twice, 0.1)).any(1).sum() == 99, "they agree, and share a rate"


def test_what_does_not_scatter_as_the_others_do_is_unlike_them() -> None:
    test, usual = learned(without(correlated(2000))), correlated(400, 2)
    assert np.median(test.judge(without(usual)).columns["distance"]) == pytest.approx(1, abs=0.1)
    # A change of one standard deviation in every feature, against their correlations.
    axes = torch.linalg.eigh(torch.corrcoef(usual.T))[1]
    against = axes[:, 0] * usual.std(0) * WIDTH**0.5
    along = axes[:, -1] * usual.std(0) * WIDTH**0.5
    assert test.judge(without(usual + against)).has(UNLIKE).mean() > 0.95
    assert test.judge(without(usual + along)).has(UNLIKE).mean() < 0.3


def test_each_number_has_its_flag() -> None:
    test, usual = learned(with_fits(1000)), with_fits(200, 2)
    assert usual.misfit is not None
    for factor in (0.5, 2.0):
        poor = test.judge(usual._replace(misfit=factor * usual.misfit))
        assert poor.has(POOR).all(), "too good a fit is as odd as a bad one"
        assert poor.has(UNLIKE).mean() < 0.1
    other = test.judge(usual._replace(features=2 * usual.features))
    assert other.has(UNLIKE).all()
    assert other.has(POOR).mean() < 0.1
    assert usual.radius_error is not None
    blurred = test.judge(usual._replace(radius_error=usual.radius_error + 1))
    assert blurred.has(NOT_LENS).all()
    precise = test.judge(usual._replace(radius_error=0 * usual.radius_error))
    assert not precise.has(NOT_LENS).any()


def test_a_radius_that_nothing_fixes_is_flagged_where_some_of_the_training_were_so() -> None:
    observed = with_fits(1000)
    assert observed.radius_error is not None
    observed.radius_error[::20] = torch.inf
    test = OutlierTest(1, sees_fits=True)
    test.learn(observed, 0.02)
    judged = test.judge(observed)
    assert judged.has(NOT_LENS).mean() == pytest.approx(0.05)


def test_images_that_need_not_be_lenses_have_no_such_flag() -> None:
    observed = with_fits(1000)._replace(radius_error=None)
    test = OutlierTest(1, sees_fits=True)
    test.learn(observed, 0.02)
    judged = test.judge(observed)
    assert list(judged.columns) == ["chi2_dof", "misfit", "distance"]
    assert 0.005 < judged.flagged.mean() < 0.04


def test_what_is_no_number_is_flagged() -> None:
    observed = with_fits(3, 4)
    observed.features[0, 2] = torch.nan
    observed.features[1, 0] = torch.inf
    assert observed.misfit is not None
    observed.misfit[1:] = torch.inf
    assert observed.radius_error is not None
    observed.radius_error[:] = torch.tensor([0.0, torch.inf, 0.0])
    judged = learned(with_fits(1000)).judge(observed)
    assert list(judged.flags) == [UNLIKE, f"{NOT_LENS}; {POOR}; {UNLIKE}", POOR]
    assert np.isinf(judged.columns["distance"][:2]).all()


def test_units_of_features_do_not_count() -> None:
    factors, shifts = 10.0 ** torch.arange(3, -3, -1), torch.arange(6.0)
    one, other = Scatter(WIDTH), Scatter(WIDTH)
    one.learn(correlated(300).double())
    other.learn(correlated(300).double() * factors + shifts)
    new = correlated(50, 5).double()
    torch.testing.assert_close(
        one.distance(new), other.distance(new * factors + shifts), rtol=1e-5, atol=0
    )


def test_a_few_failed_fits_do_not_hide_what_is_odd() -> None:
    """One image in fifty far out widens the scatter of a feature fivefold, and hides others."""
    usual = correlated(500)
    spoilt = usual.clone()
    spoilt[::50, 1] += 30 * usual[:, 1].std()
    one, other = Scatter(WIDTH), Scatter(WIDTH)
    one.learn(usual)
    other.learn(spoilt)
    odd = correlated(100, 6)
    odd[:, 1] += 5 * usual[:, 1].std()
    torch.testing.assert_close(other.distance(odd), one.distance(odd), rtol=0.15, atol=0)


def test_many_features_of_few_images_scatter_in_all_directions() -> None:
    """The covariance of 30 images with 192 features has no inverse of its own."""
    wide = torch.randn(80, 192, generator=torch.Generator().manual_seed(0))
    scatter = Scatter(192)
    scatter.learn(wide[:30])
    distance = scatter.distance(wide[30:])
    torch.testing.assert_close(distance, torch.ones_like(distance), rtol=0, atol=0.25)
    far = scatter.distance(wide[30:] + 3)
    assert bool((far > 2.5).all())


def test_constant_features_and_fewest_images() -> None:
    features = correlated(LEAST_IMAGES)
    features[:, 1] = 2.5
    test = learned(without(features))
    assert np.isfinite(test.judge(without(features)).columns["distance"]).all()
    assert test.limits.isfinite().tolist() == [False, False, True]
    few = learned(without(features[:2]))
    assert not few.judge(without(100 * features)).flagged.any()


def test_weights_hold_all_that_was_learned() -> None:
    test = learned(with_fits(200))
    again = OutlierTest(WIDTH, sees_fits=True)
    again.load_state_dict(test.state_dict())
    one, other = (each.judge(with_fits(40, 3)) for each in (test, again))
    np.testing.assert_array_equal(one.columns["distance"], other.columns["distance"])
    np.testing.assert_array_equal(one.flags, other.flags)
    assert sum(b.numel() * b.element_size() for b in test.buffers()) < 40_000


def test_weights_of_earlier_versions_have_no_limit_of_the_radius() -> None:
    test = learned(with_fits(200))
    weights = test.state_dict()
    weights["limits"] = weights["limits"][1:]
    old = OutlierTest(WIDTH, sees_fits=True)
    old.load_state_dict(weights)
    assert old.limits.tolist() == [np.inf, *test.limits[1:].tolist()]
    observed = with_fits(50, 3)
    blurred = observed._replace(radius_error=torch.full((50,), torch.inf))
    np.testing.assert_array_equal(old.judge(blurred).flags, old.judge(observed).flags)


def test_the_resemblance_of_some_images() -> None:
    judged = Resemblance({"distance": np.arange(3.0) + 1}, np.array(["", POOR, ""]))
    some = judged.rows(np.array([1, 2]))
    assert list(some.flagged) == [True, False]
    assert list(some.columns["distance"]) == [2.0, 3.0]
    assert len(some) == 2


def test_batches_are_joined() -> None:
    whole = with_fits(5)
    parts = [Observed(*(column[rows] for column in whole)) for rows in (slice(0, 2), slice(2, 5))]  # type: ignore[index]
    for one, other in zip(Observed.join(parts), whole, strict=True):
        torch.testing.assert_close(one, other)
    assert Observed.join([without(torch.ones(2, 3))] * 2).chi2_dof is None
