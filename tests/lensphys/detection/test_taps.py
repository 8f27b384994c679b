"""The blur of pixels as a table of the rays that each of them collects."""

import pytest
import torch

from lensphys import GaussianPSF, MoffatPSF, PixelPSF, pixel_grid
from lensphys.detection.taps import read_taps, unfold
from lensphys.rendering import Pixels

SCALE, SHAPE = 0.1, (9, 11)


def kernels(*shape):
    values = torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return PixelPSF(kernel=values, pixel_scale=SCALE, normalise=True)


CASES = {
    "none": (None, 1),
    "none, four rays": (None, 2),
    "gaussian": (GaussianPSF(fwhm=0.12, pixel_scale=SCALE), 1),
    "gaussian wider than the frame": (GaussianPSF(fwhm=0.9, pixel_scale=SCALE), 1),
    "gaussian after the average": (GaussianPSF(fwhm=0.12, pixel_scale=SCALE), 3),
    "gaussian before the average": (GaussianPSF(fwhm=0.12, pixel_scale=SCALE / 2), 2),
    "moffat": (MoffatPSF(fwhm=0.12, beta=3.0, pixel_scale=SCALE, truncation=2.0), 1),
    "kernel": (kernels(5, 3), 1),
    "kernel larger than the frame": (kernels(25, 3), 1),
    "kernel of every image": (kernels(2, 3, 5), 2),
}


@pytest.mark.parametrize(("psf", "factor"), CASES.values(), ids=CASES)
def test_rays_times_taps_are_what_pixels_collect(psf, factor):
    x, y = pixel_grid(SHAPE, SCALE)
    pixels = Pixels(x, y, psf=psf, supersampling=factor)
    batch = 2 if getattr(getattr(psf, "kernel", None), "ndim", 0) == 3 else 1
    taps = read_taps(pixels, batch)
    rays = torch.rand(batch, 1, *pixels.x.shape, dtype=torch.float64)
    windows = unfold(rays, taps.reach, factor).unflatten(-1, SHAPE)
    found = (windows * taps.table).sum(1)
    torch.testing.assert_close(found, pixels.collect(rays)[:, 0], rtol=1e-10, atol=1e-14)


def test_pixels_at_the_edge_share_the_taps_of_others_unless_light_is_reflected_there():
    x, y = pixel_grid(SHAPE, SCALE)
    assert read_taps(Pixels(x, y, psf=kernels(3, 3)), 1).shared
    assert not read_taps(Pixels(x, y, psf=GaussianPSF(fwhm=0.12, pixel_scale=SCALE)), 1).shared
    each = read_taps(Pixels(x, y, psf=kernels(2, 3, 3)), 2)
    assert not each.shared
    assert torch.equal(each.take(torch.tensor([1])).table, each.table[1:])
