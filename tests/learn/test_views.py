import torch

from learn.views.symmetries import random_d4


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
