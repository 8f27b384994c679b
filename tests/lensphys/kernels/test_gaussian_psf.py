"""Loop of the convolution with a narrow Gaussian."""

import pytest
import torch

import lensphys as lp
from tests.lensphys.kernels.loops import DTYPES, uniform


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_narrow_gaussian_and_its_transpose(dtype, by_torch):
    psf = lp.GaussianPSF(fwhm=0.1, pixel_scale=0.08)
    image = uniform(0, 1, 3, 40, 33).to(dtype).requires_grad_()
    weight = uniform(0, 1, 3, 40, 33, seed=1).to(dtype)

    def blurred():
        out = psf.convolve(image)
        return out.detach(), torch.autograd.grad((out * weight).sum(), image)[0]

    torch.testing.assert_close(blurred(), by_torch(blurred))
    assert (psf.convolve(torch.ones(40, 33, dtype=dtype)) - 1).abs().max() < 1e-6
    if dtype == torch.float64:
        small = image[:1, :21, :21].detach().requires_grad_()
        assert torch.autograd.gradcheck(psf.convolve, small, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda v: psf.convolve(v**2), small, fast_mode=True)
