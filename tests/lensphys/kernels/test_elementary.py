"""Elementary functions that loops over pixels are made of."""

import math

import numba
import numpy as np
import pytest

from lensphys.kernels import elementary
from tests.lensphys.kernels.loops import uniform

WIDE = 10 ** uniform(-12, 12, 20000).numpy()

FUNCTIONS = {
    "log": (np.log, WIDE),
    "log near 1": (np.log, uniform(0.5, 2, 20000).numpy()),
    "log1p": (np.log1p, WIDE),
    "log1p_over": (lambda x: np.log1p(x) / x, uniform(-1 / 3, 0.5, 20000).numpy()),
    "exp": (np.exp, uniform(-80, 80, 20000).numpy()),
    "angle": (np.arctan2, uniform(-1, 1, 20000).numpy() * WIDE, uniform(0, 1, 20000).numpy()),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_good_to_three_units_of_rounding(name, dtype):
    function, (reference, *arguments) = getattr(elementary, name.split()[0]), FUNCTIONS[name]

    @numba.njit(error_model="numpy")
    def one(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    @numba.njit(error_model="numpy")
    def two(x, y, out):
        for i in range(len(x)):
            out[i] = function(x[i], y[i])

    arguments = [value.astype(dtype) for value in arguments]
    found = np.empty_like(arguments[0])
    (one if len(arguments) == 1 else two)(*arguments, found)
    expected = reference(*(value.astype(np.longdouble) for value in arguments))
    units = np.abs(found - expected) / np.spacing(np.abs(expected).astype(dtype))
    assert units.max() < 3


def test_elementary_functions_at_the_ends_of_their_range():
    @numba.njit(error_model="numpy")
    def each(x, out):
        for i in range(len(x)):
            out[0, i], out[1, i] = elementary.exp(x[i]), elementary.log1p(x[i])

    for dtype in (np.float32, np.float64):
        x = np.array([np.nan, np.inf, 0.0, 1000.0], dtype)
        out = np.empty((2, 4), dtype)
        each(x, out)
        np.testing.assert_array_equal(out[0], [np.nan, np.inf, 1, np.inf])
        np.testing.assert_allclose(out[1], [np.nan, np.inf, 0, np.log1p(1000)], rtol=1e-6)
        each(-x, out)
        assert math.isnan(out[0, 0])
        assert out[0, 1:].tolist() == [0, 1, 0]
