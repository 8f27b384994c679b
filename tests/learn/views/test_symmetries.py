"""Symmetries of the square, of images and all that belongs to them."""

import dataclasses
from typing import Any

import torch

import lensphys as lp
from learn.lens_fits.lens_fits import LensFits
from learn.views.symmetries import random_d4, random_symmetry, turn_channels, turn_fits, turn_lenses
from lensphys.rendering import Pixels
from simulate.augment.transforms import turn_images


def symmetries(image: torch.Tensor) -> list[torch.Tensor]:
    turned = [torch.rot90(image, k, (-2, -1)) for k in range(4)]
    return turned + [view.flip(-1) for view in turned]


def test_each_image_gets_one_of_the_eight_symmetries_and_all_occur() -> None:
    image = torch.rand(1, 1, 6, 6)
    (turned,) = random_d4(image.expand(200, -1, -1, -1))
    known = symmetries(image[0])
    found = [next(k for k, view in enumerate(known) if torch.equal(view, t)) for t in turned]
    assert set(found) == set(range(8))


def test_an_image_and_its_low_resolution_twin_turn_together() -> None:
    high = torch.rand(32, 1, 8, 8)
    low = torch.nn.functional.avg_pool2d(high, 2)
    high_turned, low_turned = random_d4(high, low)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(high_turned, 2), low_turned)


def test_channels_turn_with_the_image() -> None:
    """The gradient of a turned map is the turned gradient."""
    height = torch.randn(8, 20, 20).cumsum(1).cumsum(2)
    slopes = [torch.gradient(image) for image in height]
    along, up = torch.stack([s[1] for s in slopes]), torch.stack([s[0] for s in slopes])
    channels = torch.stack([height, along, up, along, up, height], 1)
    after = turn_channels(channels, torch.arange(8))
    torch.testing.assert_close(after[:, :1], turn_images(height[:, None], torch.arange(8)))
    for image, found in zip(after[:, 0], after[:, 1:5], strict=True):
        up, along = torch.gradient(image)
        torch.testing.assert_close(found, torch.stack([along, up, along, up]))


def test_columns_turn_with_their_image() -> None:
    """A single bright pixel stays at the position that its columns give."""
    scale, n = 0.1, 9
    x, y = torch.randint(-4, 5, (2, 64)).double()
    image = torch.zeros(64, 1, n, n)
    image[torch.arange(64), 0, (y + 4).long(), (x + 4).long()] = 1
    params = {"center_x": x * scale, "center_y": y * scale, "theta_E": torch.rand(64)}
    turned, columns = turn_lenses(image, params, random_symmetry(64, image.device))
    at = turned.flatten(1).argmax(1)
    torch.testing.assert_close(columns["center_x"], (at % n - 4) * scale, check_dtype=False)
    torch.testing.assert_close(columns["center_y"], (at // n - 4) * scale, check_dtype=False)
    assert torch.equal(columns["theta_E"], params["theta_E"])
    assert not torch.equal(columns["center_x"], params["center_x"])


def grid(side: int) -> Pixels:
    return Pixels(*lp.pixel_grid((side, side), 0.2, dtype=torch.float64))


def test_turned_fits_are_lenses_of_turned_images(random_fits: Any) -> None:
    fits, symmetry = random_fits(8, lens_light=True), torch.arange(8)
    before = fits.scene.image(fits.params, grid(24))[:, None]
    after = fits.scene.image(turn_fits(fits, symmetry).params, grid(24))[:, None]
    torch.testing.assert_close(after, turn_images(before, symmetry), rtol=1e-9, atol=1e-9)


def test_errors_turn_like_those_of_a_turned_image(random_fits: Any) -> None:
    """They agree with the Fisher matrix at the parameters of the turned lens."""

    def with_errors(fits: LensFits) -> LensFits:
        slopes = fits.scene.image_and_jacobian(fits.params, grid(24))[:, 1:].flatten(2)
        return dataclasses.replace(fits, covariance=torch.linalg.inv(slopes @ slopes.mT))

    fits, symmetry = with_errors(random_fits(8)), torch.arange(8)
    found = turn_fits(fits, symmetry)
    expected = with_errors(found)
    for name, values in found.errors.items():
        torch.testing.assert_close(values, expected.errors[name], rtol=1e-5, atol=0.0, msg=name)
        assert (values > 0).all()
    scale = torch.stack(list(found.errors.values()), 1)
    scale = scale[:, :, None] * scale[:, None]
    torch.testing.assert_close(
        found.covariance / scale, expected.covariance / scale, rtol=0.0, atol=1e-5
    )


def test_all_that_belongs_to_a_fit_turns_with_it(random_fits: Any) -> None:
    fits, symmetry = random_fits(8, compared=True), torch.arange(8)
    channels, detail = torch.rand(8, 6, 10, 10), torch.rand(8, 1, 20, 20)
    turned = turn_fits(dataclasses.replace(fits, channels=channels, detail=detail), symmetry)
    assert torch.equal(turned.channels, turn_channels(channels, symmetry))
    assert torch.equal(turned.detail, turn_images(detail, symmetry))
    assert torch.equal(turned.chi2_dof, fits.chi2_dof)
    center = fits.names.index("center_x"), fits.names.index("center_y")
    found, expected = (one.values[:, center].abs() for one in (turned, fits))
    torch.testing.assert_close(found.sort(1)[0], expected.sort(1)[0])
    bare = turn_fits(fits.without_channels(), symmetry)
    assert bare.channels is None
    assert bare.detail is None
