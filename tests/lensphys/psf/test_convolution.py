"""Convolution in Fourier space."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from lensphys.psf.convolution import Spectrum, fft_convolve
from tests.lensphys.psf.point_sources import kernel_of, odd, picture


@settings(max_examples=40, deadline=None)
@given(ny=st.integers(1, 17), nx=st.integers(1, 17), ky=odd, kx=odd)
def test_fourier_convolution_is_scipys_for_every_shape(ny, nx, ky, kx):
    image, kernel = picture(ny, nx), kernel_of(ky, kx)
    expected = fftconvolve(image.numpy(), kernel.numpy(), mode="same")
    found = fft_convolve(image, kernel)
    assert found.shape == (ny, nx)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("images", "kernels"),
    [((70,), ()), ((5, 14), ()), ((2, 40), (2, 1)), ((40, 2), (40, 1)), ((1, 40), (2, 1))],
)
def test_many_images_are_convolved_as_each_alone(dtype, images, kernels):
    # So many that they are transformed in blocks.
    stack, kernel = picture(*images, 50, 44).to(dtype), kernel_of(*kernels, 7, 5).to(dtype)
    spectrum = Spectrum.of(kernel, (50, 44))
    expected = fft_convolve(stack, kernel)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(spectrum.convolve(stack), expected, rtol=0, atol=tolerance)
    weight = picture(*expected.shape, seed=4).to(dtype)
    gradients = [
        torch.autograd.grad((convolve(given) * weight).sum(), given)[0]
        for convolve in (spectrum.convolve, lambda image: fft_convolve(image, kernel))
        for given in [stack.clone().requires_grad_()]
    ]
    torch.testing.assert_close(*gradients, rtol=tolerance, atol=tolerance)


@settings(max_examples=25, deadline=None)
@given(ny=st.integers(1, 17), nx=st.integers(1, 17), ky=odd, kx=odd)
def test_the_transpose_of_a_convolution_is_its_adjoint(ny, nx, ky, kx):
    spectrum = Spectrum.of(kernel_of(ky, kx), (ny, nx))
    image, other = picture(2, ny, nx), picture(2, ny, nx, seed=5)
    forward = (spectrum.convolve(image) * other).sum()
    backward = (image * spectrum.transpose(other)).sum()
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kernels", [(), (2, 1)])
def test_gradients_of_a_convolution_are_right_to_second_order(kernels):
    spectrum = Spectrum.of(kernel_of(*kernels, 3, 5), (4, 3))
    image = picture(2, 3, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(spectrum.convolve, (image,), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(spectrum.convolve, (image,))
