"""Blocks of pixels, and sums over them."""

import numpy as np
import pytest

from lensphys.kernels.blocks import BLOCK, sum_terms


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 7, BLOCK])
def test_the_sum_of_a_block_keeps_its_digits_and_its_precision(size, dtype):
    terms = np.random.default_rng(0).normal(size=size).astype(dtype)
    found = sum_terms(terms)
    expected = terms.astype(np.longdouble).sum()
    assert abs(found - expected) <= 2 * size * np.finfo(dtype).eps
