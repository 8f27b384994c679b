"""Many rays where light is steep, few elsewhere."""

import pytest
import torch

import lensphys as lp
from lensphys.rendering import sub_pixels
from simulate.backends.rays import LEVELS, choose_levels, place_rays, refine_near_lines

STEP = 0.1


def blocks(block, n=24):
    return lp.pixel_grid(n // block, STEP * block, dtype=torch.float64)


def random_levels(block, n=24):
    choice = torch.tensor([0, *LEVELS], dtype=torch.uint8)
    random = torch.Generator().manual_seed(1)
    return choice[torch.randint(len(choice), (3, n // block, n // block), generator=random)]


@pytest.mark.parametrize("block", [1, 2])
def test_the_mean_of_a_pixel_is_that_of_its_own_rays(block):
    """Against rays through all pixels, whose means are picked pixel by pixel."""
    levels = random_levels(block)
    rays = place_rays(levels, *blocks(block), STEP, block)
    light = lp.Sersic(
        amplitude=torch.tensor([1.0, 2.0, 3.0]), R_sersic=0.4, n_sersic=1.0, center_x=0.13
    )
    found = rays.collect(light.surface_brightness(rays.x, rays.y))
    x, y = lp.pixel_grid(24, STEP, dtype=torch.float64)
    of_pixels = levels.repeat_interleave(block, 1).repeat_interleave(block, 2)
    expected = torch.zeros(3, 24, 24, dtype=torch.float64)
    for factor in LEVELS:
        all_rays = light.surface_brightness(*sub_pixels(x, y, STEP, factor))
        means = all_rays.reshape(3, 24, factor, 24, factor).mean((2, 4))
        expected = torch.where(of_pixels == factor, means, expected)
    assert torch.allclose(found, expected, atol=1e-12)


def test_images_have_no_more_rays_than_the_one_with_most():
    levels = random_levels(2)
    rays = place_rays(levels, *blocks(2), STEP, 2)
    assert rays.x.shape == (3, 1, int((levels.long() ** 2).sum((1, 2)).max()) * 4)


def test_dark_images_have_no_rays():
    rays = place_rays(torch.zeros(2, 12, 12, dtype=torch.uint8), *blocks(2), STEP, 2)
    assert rays.x.shape == (2, 1, 0)
    assert not rays.collect(rays.x).any()


def test_steep_light_takes_more_rays_and_noise_fewer():
    x, y = blocks(1, 64)
    flux = torch.exp(-0.5 * (x * x + y * y) / 0.15**2)[None]
    exposure = torch.ones(1) * 1e6
    clear = choose_levels(flux, 1e-3, exposure, 1.0, 4)
    assert clear.max() == LEVELS[-1]
    assert clear[0, 0, 0] == 0
    assert set(clear.unique().tolist()) == {0, *LEVELS}
    hidden = choose_levels(flux, 10.0, exposure, 1.0, 4)
    assert hidden.max() <= 1
    assert choose_levels(flux, 1e-3, exposure, 1.0, 2).max() == 2


def test_pixels_near_a_line_take_all_rays_where_it_is_not_dark():
    """Distances from points along the line, against those of its formula."""
    x, y = blocks(2)
    line = {"center_x": 0.3, "center_y": -0.2, "half_length": 0.5, "phi": 0.7}
    lines = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in line.items()}
    levels = random_levels(2)[:1]
    found = refine_near_lines(levels, x, y, lines, 0.3, 4)
    along = torch.linspace(-0.5, 0.5, 2001, dtype=torch.float64)[:, None, None]
    dx, dy = (
        v - line[f"center_{name}"] - along * turn(torch.tensor(0.7, dtype=torch.float64))
        for v, name, turn in ((x, "x", torch.cos), (y, "y", torch.sin))
    )
    near = (torch.hypot(dx, dy).amin(0) < 0.3) & (levels > 0)
    assert 0 < near.sum() < (levels > 0).sum()
    assert torch.equal(found, torch.where(near, 4, levels))
    assert refine_near_lines(levels, x, y, lines, 0.3, 3)[near].unique().tolist() == [2]
