"""iBOT."""

from typing import Any

import torch

from tests.learn.methods.conftest import images


def test_the_student_does_not_see_hidden_patches(build: Any) -> None:
    module = build("ibot")
    hidden = module.hidden_patches(8)
    assert hidden.any(1).sum() == 4, "a block in half of the images"
    image = images(8)
    other = torch.where(
        hidden.view(8, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3), 0.0, image
    )
    seen = [module.encoder(x, hidden=hidden, token=module.mask_token) for x in (image, other)]
    torch.testing.assert_close(*seen)
