"""Flags of images that are unlike those of the training."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from learn.tasks.outliers import LEAST_IMAGES, POOR, UNLIKE, OutlierTest, Resemblance, find_limits

WIDTH, RATE = 6, 0.05


def correlated(count: int, seed: int = 0) -> torch.Tensor:
    """Features of very different sizes, with correlations, in no order."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(9))
    sizes = 10.0 ** torch.arange(-3, 3)
    return 5 * sizes + torch.randn(count, WIDTH, generator=rng) @ mixing * sizes


def chi2_of(count: int, seed: int = 0) -> torch.Tensor:
    return 1 + 0.02 * torch.randn(count, generator=torch.Generator().manual_seed(seed + 100))


def learned(count: int = 2000, *, chi2: bool = True) -> OutlierTest:
    test = OutlierTest(WIDTH, sees_fits=False)
    test.learn(correlated(count), chi2_of(count) if chi2 else None, RATE)
    return test


@pytest.mark.parametrize("chi2", [True, False])
def test_the_rate_of_false_flags_is_the_one_that_was_asked_for(chi2: bool) -> None:
    new = 20_000
    judged = learned(chi2=chi2).judge(correlated(new, 1), chi2_of(new, 1) if chi2 else None)
    # The limit itself comes from 2,000 images, and scatters by half a percent.
    assert judged.flagged.mean() == pytest.approx(RATE, abs=0.015)
    if chi2:
        assert judged.has(POOR).mean() == pytest.approx(judged.has(UNLIKE).mean(), abs=0.02)
        assert judged.chi2_dof is not None
    else:
        assert judged.chi2_dof is None
        assert not judged.has(POOR).any()


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
    test, usual = learned(), correlated(400, 2)
    chi2 = chi2_of(400, 2)
    plain = test.judge(usual, chi2)
    assert np.median(plain.distance) == pytest.approx(1, abs=0.1)
    # A change of one standard deviation in every feature, against their correlations.
    axes = torch.linalg.eigh(torch.corrcoef(usual.T))[1]
    against = axes[:, 0] * usual.std(0) * WIDTH**0.5
    along = axes[:, -1] * usual.std(0) * WIDTH**0.5
    moved = test.judge(usual + against, chi2)
    kept = test.judge(usual + along, chi2)
    assert moved.has(UNLIKE).mean() > 0.95
    assert kept.has(UNLIKE).mean() < 0.3
    assert test.judge(usual, 1.5 * chi2).has(POOR).all()
    assert not test.judge(usual, 0.5 * chi2).has(POOR).any()


def test_what_is_no_number_is_flagged() -> None:
    features, chi2 = correlated(3, 4), torch.tensor([1.0, torch.inf, torch.inf])
    features[0, 2] = torch.nan
    features[1, 0] = torch.inf
    judged = learned().judge(features, chi2)
    assert list(judged.flags) == [UNLIKE, f"{POOR}; {UNLIKE}", POOR]
    assert np.isinf(judged.distance[:2]).all()


def test_units_of_features_do_not_count() -> None:
    factors, shifts = 10.0 ** torch.arange(3, -3, -1), torch.arange(6.0)
    test = OutlierTest(WIDTH, sees_fits=False)
    test.learn(correlated(300).double() * factors + shifts, None, RATE)
    other = OutlierTest(WIDTH, sees_fits=False)
    other.learn(correlated(300).double(), None, RATE)
    new = correlated(50, 5).double()
    found = test.judge(new * factors + shifts, None)
    np.testing.assert_allclose(found.distance, other.judge(new, None).distance, rtol=1e-5)


def test_constant_features_and_fewest_images() -> None:
    features = correlated(LEAST_IMAGES)
    features[:, 1] = 2.5
    test = OutlierTest(WIDTH, sees_fits=False)
    test.learn(features, None, RATE)
    assert np.isfinite(test.judge(features, None).distance).all()
    assert test.limits.isfinite().tolist() == [False, True]


def test_weights_hold_all_that_was_learned(random_fits: Any) -> None:
    fits = random_fits(200)
    test = OutlierTest(0, sees_fits=True)
    test.learn_fits(fits, RATE)
    again = OutlierTest(0, sees_fits=True)
    again.load_state_dict(test.state_dict())
    new = random_fits(40)
    one, other = test.judge_fits(new), again.judge_fits(new)
    np.testing.assert_array_equal(one.distance, other.distance)
    np.testing.assert_array_equal(one.flags, other.flags)
    assert sum(b.numel() * b.element_size() for b in test.buffers()) < 40_000


def test_a_lens_unlike_the_others_is_flagged(random_fits: Any) -> None:
    fits = random_fits(400)
    test = OutlierTest(0, sees_fits=True)
    test.learn_fits(fits, 0.02)
    new = random_fits(50)
    assert test.judge_fits(new).flagged.mean() <= 0.1
    values = new.values.clone()
    values[:, new.names.index("theta_E")] += 0.5
    judged = test.judge_fits(dataclasses.replace(new, values=values))
    assert judged.has(UNLIKE).mean() > 0.9
    assert not judged.has(POOR).any()


def test_the_resemblance_of_some_images() -> None:
    judged = Resemblance(np.arange(3.0), np.arange(3.0) + 1, np.array(["", POOR, ""]))
    some = judged.rows(np.array([1, 2]))
    assert list(some.flagged) == [True, False]
    assert {name: list(v) for name, v in some.columns.items()} == {
        "chi2_dof": [1.0, 2.0],
        "distance": [2.0, 3.0],
    }
    assert len(some) == 2
    assert list(Resemblance(None, np.ones(1), np.array([""])).columns) == ["distance"]
