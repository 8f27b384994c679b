"""Images of wider pixels, on which a search is faster."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.binning import bin_images
from lensphys.rendering import Pixels


def test_a_bin_holds_the_flux_and_the_noise_of_its_pixels():
    x, y = lp.pixel_grid((204, 205), 0.05, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(1, 204, 205, generator=generator, dtype=torch.float64)
    weight = torch.full_like(images, 4.0)
    weight[0, 10, 20] = 0.0
    psf = lp.GaussianPSF(fwhm=0.2, pixel_scale=0.05)
    wide, coarse_weight, coarse = bin_images(images, weight, Pixels(x, y, psf=psf))
    assert wide.shape == (1, 68, 68)
    assert coarse.pixel_scale == pytest.approx(0.15)
    assert coarse.psf.pixel_scale == pytest.approx(0.15)
    assert wide[0, 2, 4].item() == pytest.approx(images[0, 6:9, 12:15].sum().item())
    assert coarse_weight[0, 3, 6] == 0
    assert (coarse_weight == 0).sum() == 1
    # Nine pixels have three times the noise.
    assert coarse_weight[0, 0, 0].item() == pytest.approx(4 / 3)
    assert coarse.x[0, 1].item() == pytest.approx(x[0, 3:6].mean().item())
