"""Moffat point-spread functions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.Util import kernel_util

from lensphys import GaussianPSF, MoffatPSF


@settings(max_examples=25, deadline=None)
@given(fwhm=st.floats(0.05, 0.5), beta=st.floats(1.5, 6), scale=st.floats(0.05, 0.2))
def test_a_moffat_kernel_is_lenstronomys(fwhm, beta, scale):
    kernel = MoffatPSF(fwhm, beta, scale).kernel()
    theirs = kernel_util.kernel_moffat(len(kernel), scale, fwhm, beta).reshape(kernel.shape)
    np.testing.assert_allclose(kernel, theirs, rtol=0, atol=1e-14)


def test_a_moffat_has_half_its_maximum_at_half_its_width():
    kernel = MoffatPSF(fwhm=1.0, beta=2.5, pixel_scale=0.05).kernel()
    middle = len(kernel) // 2
    assert (kernel[middle, middle + 10] / kernel[middle, middle]).item() == pytest.approx(0.5)


def test_a_moffat_of_steep_wings_is_a_gaussian():
    moffat = MoffatPSF(fwhm=0.5, beta=1e5, pixel_scale=0.1).kernel()
    gaussian = GaussianPSF(fwhm=0.5, pixel_scale=0.1, truncation=30).kernel()
    middle, reach = len(moffat) // 2, 8
    window = slice(middle - reach, middle + reach + 1)
    g = gaussian[len(gaussian) // 2 - reach : len(gaussian) // 2 + reach + 1]
    torch.testing.assert_close(moffat[window, window], g[:, None] * g, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["fwhm", "pixel_scale", "truncation", "beta"])
def test_a_moffat_out_of_range_is_refused_by_name(name, bad):
    values = {"fwhm": 0.16, "beta": 3.0, "pixel_scale": 0.1, "truncation": 5.0} | {name: bad}
    with pytest.raises(ValueError, match=f"^{name} must be "):
        MoffatPSF(**values)


def test_wings_of_infinite_flux_are_refused():
    with pytest.raises(ValueError, match=r"^beta must be finite and above 1, got 1"):
        MoffatPSF(0.16, 1.0, 0.1)
