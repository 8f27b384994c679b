"""Products and norms of the changes of an image by a mass in every place."""

import pytest
import torch

from lensphys import GaussianPSF, PixelPSF, pixel_grid
from lensphys.detection import responses
from lensphys.detection.perturbers import make_perturbers
from lensphys.detection.responses import Responses
from lensphys.products import product
from lensphys.rendering import Pixels

SCALE, SHAPE = 0.1, (13, 16)


def random(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def kernel(*shape):
    return PixelPSF(kernel=random(*shape), pixel_scale=SCALE, normalise=True)


CASES = {
    "one kernel": (kernel(3, 5), 1),
    "a kernel for every image": (kernel(2, 3, 5), 1),
    "reflection at the edge": (GaussianPSF(fwhm=0.13, pixel_scale=SCALE), 1),
    "four rays a pixel": (GaussianPSF(fwhm=0.13, pixel_scale=SCALE / 2), 2),
    "no blur": (None, 1),
}


@pytest.mark.parametrize("small", [False, True], ids=["whole", "in blocks"])
@pytest.mark.parametrize(("psf", "factor"), CASES.values(), ids=CASES)
def test_they_are_those_of_the_changes_written_out(psf, factor, small, monkeypatch):
    if small:
        monkeypatch.setitem(responses._ELEMENTS, "cpu", 1)
        monkeypatch.setitem(responses._BLOCK, "cpu", 1)
    pixels = Pixels(*pixel_grid(SHAPE, SCALE), psf=psf, supersampling=factor)
    perturbers = make_perturbers("line", {"half_length": 0.25}, 2)
    slopes = random(2, 2, *pixels.x.shape) - 0.5
    weight, rows = random(2, *SHAPE, seed=2), random(2, 3, *SHAPE, seed=3)
    index = torch.arange(2)
    search = Responses(pixels, perturbers, 2)
    products = search.products(rows, slopes, weight, index)
    norms = search.norms(slopes, weight, index)

    spacing = SCALE / factor
    x, y = pixel_grid(tuple(pixels.x.shape), spacing, dtype=torch.float64)
    centre_x, centre_y = pixel_grid(SHAPE, SCALE, dtype=torch.float64)
    for perturber, dots, squares in zip(perturbers, products, norms, strict=True):
        at_x, at_y = (v.flatten()[:, None, None] for v in (centre_x, centre_y))
        alpha_x, alpha_y = perturber.deflection(x - at_x, y - at_y)
        light = slopes[:, :1] * alpha_x + slopes[:, 1:] * alpha_y
        a = (pixels.collect(light) * weight[:, None]).flatten(2).mT
        expected = product(rows.flatten(2), a).unflatten(2, SHAPE)
        torch.testing.assert_close(dots, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))
        norm = a.square().sum(1).unflatten(1, SHAPE)
        assert ((squares / norm).sqrt() - 1).abs().max() < 1e-5


def test_more_images_are_worked_on_at_once_the_fewer_rows_they_have():
    pixels = Pixels(*pixel_grid((64, 64), SCALE))
    search = Responses(pixels, make_perturbers("point_mass", {}, None), 1)
    assert search.images_at_once(1000) == 1
    assert search.images_at_once(14) >= 1
