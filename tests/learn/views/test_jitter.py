"""Small changes of images."""

import math

import pytest
import torch
from torch import Tensor

from learn.config import JitterConfig
from learn.views.jitter import change_affinely, jitter_images, shift_and_blur


def test_a_shift_by_whole_pixels_is_a_roll_and_leaves_noise_white() -> None:
    noise = torch.randn(64, 1, 32, 32)
    whole = torch.tensor([[2.0, -3.0]]).expand(64, -1)
    moved = shift_and_blur(noise, whole, torch.zeros(64))
    torch.testing.assert_close(moved, noise.roll((2, -3), (-2, -1)), atol=1e-5, rtol=0)
    half = shift_and_blur(noise, whole + 0.3, torch.zeros(64))
    neighbours = (half[..., 1:] * half[..., :-1]).mean()
    assert half.std() == pytest.approx(1, abs=0.03)
    assert neighbours.abs() < 0.03


def test_a_blur_widens_a_gaussian_by_its_own_width_and_keeps_its_flux() -> None:
    x = torch.arange(32) - 16.0
    image = torch.exp(-(x**2)[:, None] / 8 - x**2 / 8).expand(1, 1, -1, -1)
    blurred = shift_and_blur(image, torch.zeros(1, 2), torch.tensor([1.5]))
    variance = (blurred * x**2).sum() / blurred.sum()
    torch.testing.assert_close(blurred.sum(), image.sum())
    assert variance.item() == pytest.approx(4 + 1.5**2, rel=1e-4)


def test_jitter_of_nothing_is_nothing_and_noise_is_in_units_of_the_level() -> None:
    image = torch.zeros(500, 1, 8, 8)
    none = JitterConfig(shift=0, blur=0, noise=0)
    assert torch.equal(jitter_images(image, none, torch.tensor(2.0)), image)
    noisy = jitter_images(image, none.model_copy(update={"noise": 3.0}), torch.tensor(2.0))
    levels = noisy.flatten(1).std(1)
    assert levels.max() < 6 * 1.3
    assert levels.mean() == pytest.approx(3, rel=0.1), "uniform up to 3 x 2"


def test_affine_changes_of_known_images() -> None:
    x = torch.arange(33) - 16.0
    blob = torch.exp(-((x[:, None] - 4) ** 2) / 18 - (x - 6) ** 2 / 8)[None, None]

    def changed(angle: float = 0.0, zoom: float = 1.0, shear: float = 0.0) -> Tensor:
        return change_affinely(blob, *(torch.tensor([v]) for v in (angle, zoom, shear)))

    def centre(image: Tensor) -> list[float]:
        return [float((image * c).sum() / image.sum()) for c in (x, x[:, None])]

    torch.testing.assert_close(changed(), blob)
    # From x towards y: what lay at (6, 4) lies at (-4, 6).
    turned = changed(angle=math.pi / 2)
    torch.testing.assert_close(turned, torch.rot90(blob, -1, (2, 3)), rtol=0, atol=1e-5)
    assert centre(turned) == pytest.approx([-4, 6], abs=0.01)
    assert centre(changed(zoom=1.2)) == pytest.approx([7.2, 4.8], abs=0.02)
    assert changed(zoom=1.2).sum() == pytest.approx(1.44 * blob.sum().item(), rel=1e-2)
    sheared = changed(shear=math.atan(0.5))
    assert centre(sheared) == pytest.approx([8, 4], abs=0.02)
    assert sheared.sum() == pytest.approx(blob.sum().item(), rel=1e-2)


def test_affine_jitter_is_drawn_for_each_image_and_is_in_no_configuration_without_it() -> None:
    none = JitterConfig(shift=0, blur=0, noise=0)
    assert "affine" not in none.model_dump(mode="json")
    some = JitterConfig.model_validate(
        none.model_dump() | {"affine": {"rotation": 180, "zoom": 0.1, "shear": 10}}
    )
    image = torch.rand(1, 1, 16, 16).expand(3, -1, -1, -1)
    changed = jitter_images(image, some, torch.tensor(1.0))
    assert (changed[0] - changed[1]).abs().max() > 0.1
    assert (changed[1] - changed[2]).abs().max() > 0.1
