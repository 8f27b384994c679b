"""Checks of single numbers."""

import math

import numpy as np
import pytest
import torch

from lensphys.ground.numbers import check_count, is_count, is_number


@pytest.mark.parametrize("value", [1, 7, np.int64(3)])
def test_whole_numbers_from_one_on_are_counts(value):
    assert is_count(value)
    check_count("n", value)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None, "1"])
def test_all_else_is_no_count(value):
    with pytest.raises(ValueError, match="n must be a whole number from 1 on"):
        check_count("n", value)


@pytest.mark.parametrize("value", [0, -1.5, np.float32(2), torch.tensor(3.0), torch.tensor([3.0])])
def test_one_finite_number_is_a_number(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [True, math.nan, math.inf, "1", None, torch.zeros(2), [1.0]])
def test_all_else_is_no_number(value):
    assert not is_number(value)
