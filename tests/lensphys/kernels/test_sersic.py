"""Loop over pixels of the Sersic profile: the same numbers as torch, and gradients."""

import pytest

import lensphys as lp
from tests.lensphys.kernels.loops import (
    DTYPES,
    KINDS_OF_GRIDS,
    SERSIC,
    assert_finite_at_the_centre,
    assert_gradients_of_gradients,
    assert_values_and_gradients_of_torch,
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS_OF_GRIDS)
def test_values_and_gradients_are_those_of_torch(kind, dtype, by_torch):
    assert_values_and_gradients_of_torch(lp.Sersic, SERSIC, kind, dtype, by_torch)


def test_gradients_of_gradients():
    assert_gradients_of_gradients(lp.Sersic, SERSIC)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_gradients_are_finite_at_the_centre(dtype):
    assert_finite_at_the_centre(lp.Sersic, SERSIC, dtype)
