"""Sum over truncated halos in one loop."""

import pytest

import lensphys as lp
from tests.lensphys.kernels.loops import DTYPES, assert_digits_of_each_member, assert_no_pixels


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_member_of_the_sum_keeps_its_digits(dtype, by_torch):
    assert_digits_of_each_member(lp.TNFW, dtype, by_torch)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sum_over_no_pixels_is_empty(dtype):
    assert_no_pixels(lp.TNFW, dtype)
