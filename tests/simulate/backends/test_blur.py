"""The PSF of each image, about that of the instrument."""

import dataclasses

import pytest
import torch
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.Numerics.convolution import PixelKernelConvolution
from lenstronomy.LightModel.Profiles.gaussian import GaussianEllipse

import lensphys as lp
from simulate.backends.blur import blur, kernels
from simulate.instruments import instrument

CAMERA = instrument("euclid_vis")
ONE, ZERO = torch.ones(1), torch.zeros(1)


@pytest.mark.parametrize("name", ["euclid_vis", "deeplense_model1"])
def test_a_round_psf_of_the_width_that_is_told_is_that_of_the_instrument(name):
    camera = instrument(name)
    images = torch.rand(2, 40, 40, dtype=torch.float64)
    kernel = kernels(camera, ONE.expand(2), ZERO.expand(2), ZERO.expand(2), widest=1.1)
    # With room for wider ones, the kernel reaches farther by a tenth.
    far = dataclasses.replace(camera.psf(), truncation=1.1 * camera.psf_truncation)
    assert torch.allclose(blur(images, kernel), far.convolve(images), atol=1e-6)


def test_a_kernel_is_lenstronomys_elliptical_gaussian():
    width, e1, e2 = torch.tensor([1.05]), torch.tensor([0.06]), torch.tensor([-0.03])
    kernel = kernels(CAMERA, width, e1, e2, widest=1.1)[0]
    n = len(kernel)
    x, y = lp.pixel_grid(n, CAMERA.pixel_scale, dtype=torch.float64)
    sigma = 1.05 * CAMERA.psf_fwhm / 2.3548200450309493
    shape = {"e1": e1.item(), "e2": e2.item()}
    theirs = GaussianEllipse().function(x.numpy(), y.numpy(), 1.0, sigma, **shape)
    # Ellipticities of single precision.
    assert kernel.numpy() == pytest.approx(theirs / theirs.sum(), abs=1e-7)


def test_images_are_blurred_as_lenstronomy_blurs_them():
    kernel = kernels(CAMERA, *(torch.tensor([v, v]) for v in (0.96, 0.05, 0.02)), widest=1.1)
    images = torch.rand(2, 30, 30, dtype=torch.float64)
    psf = PSF(psf_type="PIXEL", kernel_point_source=kernel[0].numpy())
    theirs = PixelKernelConvolution(psf.kernel_point_source).convolution2d(images[1].numpy())
    edge = kernel.shape[-1] // 2
    ours = blur(images, kernel)[1].numpy()
    inner = slice(edge, -edge)  # lenstronomy has no light outside
    assert ours[inner, inner] == pytest.approx(theirs[inner, inner], abs=1e-12)
    assert blur(torch.ones(2, 9, 9), kernel).numpy() == pytest.approx(1.0, abs=1e-6)


def test_a_moffat_keeps_its_width_and_wings():
    camera = dataclasses.replace(CAMERA, psf_fwhm=0.4, psf_beta=3.0, psf_truncation=4.0)
    kernel = kernels(camera, 1.05 * ONE, ZERO, ZERO, widest=1.1)[0]
    psf = lp.MoffatPSF(1.05 * 0.4, 3.0, camera.pixel_scale, 4.0).kernel()
    n = (len(kernel) - len(psf)) // 2
    inner = kernel if n == 0 else kernel[n:-n, n:-n]
    assert torch.allclose(inner / inner.sum(), psf, atol=1e-8)


@pytest.mark.parametrize("name", ["euclid_vis", "deeplense_model1"])
def test_the_widest_psf_has_room(name):
    """Second moments of a Gaussian of twice the width; a kernel for less cuts them off."""
    camera = instrument(name)
    kernel = kernels(camera, 2 * ONE, ZERO, ZERO, widest=2.0)[0]
    x, y = lp.pixel_grid(len(kernel), camera.pixel_scale, dtype=torch.float64)
    found = (kernel * (x * x + y * y)).sum() / 2
    sigma = 2 * camera.psf_fwhm / 2.3548200450309493
    # Model 1 cuts its PSF off at three standard deviations.
    assert found.item() == pytest.approx(sigma**2, rel=0.03)
