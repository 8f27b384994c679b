"""Light of a lens, taken off before its arcs are looked at."""

import math

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.light_start import (
    box,
    find_peak,
    measure_shape,
    sharpen,
    soften,
    subtract_light,
)
from lensphys.rendering import Pixels
from tests.lensphys.fitting.linear.lenses import PSF, SCALE, SIGMA, make_image


@pytest.fixture(scope="module")
def pixels():
    x, y = lp.pixel_grid(32, SCALE, dtype=torch.float64)
    return Pixels(x, y, psf=PSF)


def test_the_light_is_found_in_spite_of_the_arcs(pixels):
    images = torch.stack([make_image(), make_image(offset=(0.15, -0.1), seed=1)])
    found = subtract_light(images, torch.full_like(images, 1 / SIGMA), pixels)
    assert found.params["lens_light_center_x"].tolist() == pytest.approx([0, 0.15], abs=0.02)
    assert found.params["lens_light_center_y"].tolist() == pytest.approx([0, -0.1], abs=0.02)
    assert found.params["lens_light_e1"].tolist() == pytest.approx([0.05, 0.05], abs=0.05)
    # Most of the light of the arcs is left.
    clean = make_image(shining=False, sigma=0.0)
    bright = clean > 0.5 * clean.max()
    left = (images[0] - found.model[0])[bright]
    assert left.sum().item() == pytest.approx(clean[bright].sum().item(), rel=0.25)
    # Where there are none, nothing is left but noise.
    dark = clean < 0.002
    assert (images[0] - found.model[0])[dark].mean().abs() < 2 * SIGMA
    # The model itself counts as noise.
    assert (found.weight <= 1 / SIGMA).all()
    assert found.weight[0].flatten()[images[0].argmax()] < 0.7 / SIGMA


def test_the_peak_is_sought_near_the_middle(pixels):
    images = torch.zeros(1, 32, 32).double()
    images[0, 17, 15] = 1.0
    images[0, 3, 3] = 9.0
    x, y = find_peak(images, pixels)
    assert abs(x.item() - pixels.x[17, 15]) <= SCALE * 1.001
    assert abs(y.item() - pixels.y[17, 15]) <= SCALE * 1.001


@pytest.mark.parametrize(("e1", "e2"), [(0.2, 0.0), (0.0, -0.2), (-0.1, 0.1), (0.0, 0.0)])
def test_the_shape_is_near_that_of_the_light(pixels, e1, e2):
    light = lp.Sersic(amplitude=1.0, R_sersic=0.5, n_sersic=1.0, e1=e1, e2=e2)
    image = light.surface_brightness(pixels.x, pixels.y)
    zero = torch.zeros(1).double()
    found = measure_shape(image[None], (zero, zero), pixels)
    # The round window makes it rounder.
    for own, right in zip(found, (e1, e2), strict=True):
        assert 0.3 * abs(right) - 0.01 <= abs(own.item()) <= abs(right) + 0.03
        assert own.item() * right >= 0


def test_a_flat_or_negative_image_is_round(pixels):
    zero = torch.zeros(2).double()
    images = torch.stack([torch.ones(32, 32), -torch.ones(32, 32)]).double()
    for found in measure_shape(images, (zero, zero), pixels):
        torch.testing.assert_close(found, zero, rtol=0, atol=1e-9)


def test_sharpening_takes_off_what_is_smooth():
    x, _ = lp.pixel_grid(48, 1.0, dtype=torch.float64)
    seen = torch.ones(1, 48, 48, dtype=torch.bool)
    seen[0, 5] = False
    flat = sharpen(torch.full((1, 48, 48), 3.0).double(), seen)
    assert flat.abs().max() < 1e-6
    points = torch.zeros(1, 48, 48).double()
    points[0, 24, 24] = 1.0
    sharp = sharpen(points, seen)
    assert sharp[0, 24, 24].item() == pytest.approx(1.0, abs=0.01)
    assert not sharp[0, 5].any()
    wave = torch.cos(x / 20)[None]
    assert sharpen(wave, seen)[0, 24, 12:36].abs().max() < 0.1


def test_errors_add_in_quadrature_and_masks_stay():
    weight = torch.tensor([[[2.0, 0.0]]])
    found = soften(weight, torch.tensor([[[1.5, 7.0]]]), torch.tensor([[[-3.0, 1.0]]]))
    assert found[0, 0, 0].item() == pytest.approx(1 / math.hypot(0.5, 1.5))
    assert found[0, 0, 1] == 0


def test_a_box_is_the_mean_of_the_pixels_that_are_there():
    maps = torch.arange(12.0).view(1, 3, 4)
    found = box(maps)
    assert found[0, 1, 1].item() == pytest.approx(maps[0, :, :3].mean().item())
    assert found[0, 0, 0].item() == pytest.approx(maps[0, :2, :2].mean().item())
