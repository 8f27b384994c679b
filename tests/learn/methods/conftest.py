"""Small methods and images for them."""

from typing import Any

import pytest
import torch

from learn.config import StretchConfig
from learn.data import Stretch
from learn.lens_fits.channels import STACK
from learn.methods import method_class
from learn.methods.base import Method


@pytest.fixture
def build(pretrain_config: Any) -> Any:
    """A small method, untrained."""

    def make(method: str, *sets: str) -> Method:
        config = StretchConfig(kind="linear", floor=1e-3)
        stretch = Stretch.of_images(torch.rand(8, 1, 64, 64), config)
        return method_class(method)(pretrain_config(method, sets), stretch, total_steps=100)

    return make


def images(count: int, channels: int = 1) -> torch.Tensor:
    """Smooth random images, or stacks with the channels of lens fits."""
    stack = torch.randn(count, channels, 64, 64).cumsum(-1).cumsum(-2) / 64
    if channels > 1:
        stack[:, STACK["sigma"]] = 0.1
        stack[:, STACK["log_error"]] = -1.4
    return stack


def count_channels(module: Method) -> int:
    """Channels of the stack of an image and its lens fit, where the encoder sees one."""
    return 1 if module.config.encoder.lens_fit is None else len(STACK)
