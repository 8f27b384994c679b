"""The S/N of one more mass in each place, by a matched filter."""

import math

import pytest
import torch

import lensphys as lp
from learn.lens_fits.detection import detection_map
from learn.views.symmetries import turn_channels
from simulate.augment.transforms import turn_images


def some_lens(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, and responses that are smooth and strongest on a ring, as those of arcs."""
    x, y = lp.pixel_grid((size, size), 1.0)
    ring = torch.exp(-0.5 * ((torch.hypot(x, y) - size / 4) / (size / 16)) ** 2)
    phase = 2 * math.pi * torch.rand(count, 2, 1, 1)
    response = 30 * ring * torch.cos((20 * x + 13 * y) / size + phase)
    return torch.randn(count, 1, size, size), response


def change_of_mass(response: torch.Tensor, x_k: float, y_k: float) -> torch.Tensor:
    """Change of the residual (B, 1, H, W) by a point mass in a place, pixels from the centre."""
    x, y = lp.pixel_grid((response.shape[-2], response.shape[-1]), 1.0)
    alpha = lp.PointMass(theta_E=1.0, center_x=x_k, center_y=y_k).deflection(x, y)
    return (response * torch.stack(alpha)).sum(1, keepdim=True)


def test_the_map_is_least_squares_for_one_mass_at_a_time() -> None:
    residual, response = some_lens(2, 20)
    found = detection_map(residual, response).flatten(1)
    x, y = (v.flatten() for v in lp.pixel_grid((20, 20), 1.0))
    dx, dy = x - x[:, None], y - y[:, None]  # of pixels (columns) from masses (rows)
    square = dx**2 + dy**2 + 0.25
    along, up = (part.flatten(1)[:, None] for part in response.unbind(1))
    shape = along * dx / square + up * dy / square
    strength = shape.pow(2).sum(2)
    expected = (residual.flatten(1)[:, None] * shape).sum(2) / strength.sqrt()
    seen = strength > 0.1 * strength.amax(1, keepdim=True)
    assert seen.float().mean() > 0.1
    torch.testing.assert_close(found[seen], expected[seen], rtol=0.006, atol=1e-4)
    assert (found.abs() <= expected.abs() + 1e-4).all(), "smaller where the image answers little"


@pytest.mark.parametrize(("size", "block"), [(64, 2), (75, 2), (150, 4)])
def test_a_mass_is_found_where_it_is_and_a_lack_of_mass_is_negative(size: int, block: int) -> None:
    noise, response = some_lens(4, size)
    x_k, y_k = size / 4 - 2.0, -3.0
    change = change_of_mass(response, x_k, y_k)
    change *= 60 / change.flatten(1).norm(dim=1)[:, None, None, None]
    seen = detection_map(noise + change, response)
    assert seen.shape == noise.shape
    for image, lack in zip(seen[:, 0], detection_map(noise - change, response)[:, 0], strict=True):
        row, column = divmod(int(image.argmax()), size)
        middle = (size - 1) / 2
        assert math.hypot(column - middle - x_k, row - middle - y_k) <= 2.5 * block
        # A mass without a core between two places is not seen at all of its S/N.
        assert 35 < image.max() < 66
        assert -66 < lack.min() < -35


def test_noise_alone_has_unit_variance() -> None:
    residual, response = some_lens(300, 32)
    ring = detection_map(residual, response)[..., 8:24, 8:24]
    assert ring.std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("size", [30, 64, 150])
def test_the_map_turns_with_the_image(size: int) -> None:
    residual, response = some_lens(8, size)
    channels = torch.zeros(8, 6, size, size)
    channels[:, :1], channels[:, 1:3] = residual, response
    symmetry = torch.arange(8)
    after = turn_channels(channels, symmetry)
    found, expected = detection_map(after[:, :1], after[:, 1:3]), detection_map(residual, response)
    if size % 4 == 2 and size > 40:  # blocks do not fit, and lie otherwise in a turned image
        found, expected = found[..., 20:-20, 20:-20], expected[..., 20:-20, 20:-20]
        assert (found - turn_images(expected, symmetry)).std() < 0.5
    else:
        torch.testing.assert_close(found, turn_images(expected, symmetry), rtol=1e-3, atol=1e-3)


def test_an_image_that_answers_to_nothing_shows_nothing() -> None:
    dark = detection_map(torch.randn(2, 1, 64, 64), torch.zeros(2, 2, 64, 64))
    assert torch.equal(dark, torch.zeros_like(dark))
