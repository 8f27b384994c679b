"""Draws follow their priors, and stay within their limits."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from simulate.distributions import AnyDistribution, check_within

PRIOR = TypeAdapter(AnyDistribution)
CASES = {
    "uniform": ({"low": -1.0, "high": 3.0}, stats.uniform(-1, 4)),
    "log_uniform": ({"low": 0.01, "high": 0.1}, stats.loguniform(0.01, 0.1)),
    "normal": (
        {"mean": 1.2, "sigma": 0.3, "low": 0.7, "high": 1.6},
        stats.truncnorm(-0.5 / 0.3, 0.4 / 0.3, 1.2, 0.3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_quantiles_are_those_of_scipy(name):
    values, reference = CASES[name]
    prior = PRIOR.validate_python({"distribution": name, **values})
    u = np.linspace(0, 1, 101)
    assert prior.quantile(u) == pytest.approx(reference.ppf(u), rel=1e-12, abs=1e-12)


def test_a_log_normal_is_a_normal_of_the_logarithm():
    prior = PRIOR.validate_python(
        {"distribution": "log_normal", "median": 0.3, "dex": 0.2, "low": 0.1, "high": 0.7}
    )
    low, high = (np.log10(value / 0.3) / 0.2 for value in (0.1, 0.7))
    u = np.linspace(0, 1, 101)
    reference = stats.truncnorm(low, high, np.log10(0.3), 0.2).ppf(u)
    assert np.log10(prior.quantile(u)) == pytest.approx(reference, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    mean=st.floats(-10, 10), sigma=st.floats(1e-3, 10), a=st.floats(-10, 10), b=st.floats(-10, 10)
)
def test_draws_stay_within_the_limits_also_far_in_the_tails(mean, sigma, a, b):
    low, high = sorted((a, b))
    assume(max(low - mean, mean - high) <= 30 * sigma)
    prior = PRIOR.validate_python(
        {"distribution": "normal", "mean": mean, "sigma": sigma, "low": low, "high": high}
    )
    drawn = prior.quantile(np.array([0.0, 1e-16, 0.3, 0.5, 1 - 1e-16, 1.0]))
    assert ((drawn >= low) & (drawn <= high)).all()
    assert (np.diff(drawn) >= -1e-14 * max(1.0, abs(low), abs(high))).all(), "but for rounding"


@pytest.mark.parametrize(("mean", "low", "high"), [(0.0, 7.0, 9.0), (0.0, -9.0, -7.0)])
def test_a_tail_is_drawn_from_its_near_end(mean, low, high):
    values = {"distribution": "normal", "mean": mean, "sigma": 0.5, "low": low, "high": high}
    drawn = PRIOR.validate_python(values).quantile(np.linspace(0.01, 0.99, 99))
    near = low if low > mean else high
    assert (np.diff(drawn) > 0).all()
    # Far out a Gaussian falls off as an exponential of scale sigma^2 over the distance.
    assert np.abs(drawn - near).mean() == pytest.approx(0.25 / 7, rel=0.1)


def test_a_tail_beyond_reach_is_refused():
    values = {"distribution": "normal", "mean": 50.0, "sigma": 0.3, "low": 0.7, "high": 1.6}
    with pytest.raises(ValidationError, match="161 standard deviations from the middle"):
        PRIOR.validate_python(values)


@pytest.mark.parametrize(
    "values",
    [
        {"distribution": "uniform", "low": 2.0, "high": 1.0},
        {"distribution": "log_uniform", "low": 0.0, "high": 1.0},
        {"distribution": "normal", "mean": 0.0, "sigma": 0.0, "low": -1.0, "high": 1.0},
        {"distribution": "normal", "mean": 0.0, "sigma": 1.0},
        {"distribution": "uniform", "low": 0.0, "high": float("nan")},
        {"distribution": "cauchy", "low": 0.0, "high": 1.0},
    ],
)
def test_an_impossible_prior_is_refused(values):
    with pytest.raises(ValidationError):
        PRIOR.validate_python(values)


def test_a_prior_that_leaves_its_range_is_refused():
    prior = PRIOR.validate_python({"distribution": "uniform", "low": 0.0, "high": 2.0})
    assert check_within(prior, 0, 2) is prior
    with pytest.raises(ValueError, match=r"between 0 and 1, got low 0 and high 2"):
        check_within(prior, 0, 1)
