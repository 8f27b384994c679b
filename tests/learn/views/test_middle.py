"""The middle of images, in coarser pixels."""

import torch

from learn.views.middle import bin_middle
from simulate.augment.transforms import turn_images


def test_an_image_of_its_size_stays_as_it_is() -> None:
    image = torch.rand(2, 1, 64, 64)
    assert torch.equal(bin_middle(image, 64, 1), image)


def test_pixels_of_the_middle_are_summed() -> None:
    image = torch.rand(2, 1, 30, 30)
    found = bin_middle(image, 8, 3)  # 24 of 30 pixels
    torch.testing.assert_close(found[:, :, 1, 2], image[:, :, 6:9, 9:12].sum((-1, -2)))
    assert found.shape == (2, 1, 8, 8)


def test_the_centre_stays_the_centre() -> None:
    image, half_a_turn = torch.rand(1, 1, 150, 150), torch.tensor([2])
    turned = bin_middle(turn_images(image, half_a_turn), 64, 2)
    torch.testing.assert_close(turned, turn_images(bin_middle(image, 64, 2), half_a_turn))
