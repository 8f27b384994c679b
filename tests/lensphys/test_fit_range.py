"""Declared ranges of parameters that can be fitted."""

import dataclasses
import math

import pytest
import torch

import lensphys as lp
from lensphys.fit_range import FitRange
from lensphys.mass.distance import FARTHEST


def test_a_range_is_in_the_unit_of_the_image():
    peak = torch.tensor([3.0, 40.0])
    assert FitRange(low=0.0, high=1.0).per_unit(2.5, peak) == 1
    assert FitRange(low=0.0, high=1.0, unit="half field").per_unit(2.5, peak) == 2.5
    assert FitRange(low=0.0, high=1.0, unit="peak").per_unit(2.5, peak) is peak


@pytest.mark.parametrize(
    "bad",
    [
        {"low": 1.0, "high": 1.0, "start": 1.0},
        {"low": 2.0, "high": 1.0},
        {"low": 0.5, "high": 1.0},
        {"low": 0.0, "high": 1.0, "start": 2.0},
        {"low": math.nan, "high": 1.0},
    ],
    ids=["empty", "reversed", "start below", "start above", "not a number"],
)
def test_a_range_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="low <= start <= high and low < high"):
        FitRange(**bad)


def test_only_what_is_positive_has_a_logarithm():
    with pytest.raises(ValueError, match="logarithmic fit range must be positive, got 0"):
        FitRange(low=0.0, high=1.0, log=True)


def test_a_range_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FitRange(low=0.0, high=1.0).low = 0.5


def test_ranges_are_read_from_the_profile_within_what_it_allows():
    ranges = lp.EPL.fit_ranges()
    assert list(ranges) == ["theta_E", "gamma", "e1", "e2", "center_x", "center_y"]
    assert ranges["gamma"].allowed == (1.05, 2.95)
    assert ranges["e1"].allowed == ranges["e2"].allowed == (-0.7, 0.7)
    assert ranges["center_x"].allowed == (-FARTHEST, FARTHEST)
    assert [ranges[name].odd for name in ("theta_E", "e2", "center_x", "center_y")] == [
        "",
        "xy",
        "x",
        "y",
    ]
    # The point without deflection is no parameter of a fit, and a halo has none at all.
    assert list(lp.Shear.fit_ranges()) == ["gamma1", "gamma2"]
    assert lp.NFW.fit_ranges() == {}
