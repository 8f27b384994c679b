"""A residual channel attention network: the convolutional baseline of super-resolution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from lensphys.ground.config import Strict
from lensphys.ground.room import check_memory

#: Value of ``backbone`` for this network.
RCAN = "rcan"

#: Bytes of the Python objects of a residual block.
_OF_A_BLOCK = 20_000


class RcanSizes(Strict):
    """Sizes of a residual channel attention network."""

    width: int = Field(gt=0, description="channels")
    groups: int = Field(gt=0, le=1000, description="residual groups, with a skip over each")
    blocks: int = Field(gt=0, le=1000, description="residual blocks in a group")
    reduction: int = Field(gt=0, description="channels for each number in the attention's middle")


class RcanConfig(RcanSizes):
    """A residual channel attention network for images of one channel."""

    backbone: Literal["rcan"] = "rcan"


class Rcan(nn.Module):
    """Residual in residual with channel attention (Zhang et al. 2018, arXiv:1807.02758, Sect. 3).

    It stays on the pixels of its input; what enlarges the image is left to the task.
    """

    def __init__(self, config: RcanConfig) -> None:
        super().__init__()
        weights = 2 * config.groups * config.blocks * 9 * config.width**2
        need = 4 * weights + _OF_A_BLOCK * config.groups * config.blocks
        what = f"the {weights:,} weights and more of the network"
        check_memory(need, what, "make its width, groups or blocks smaller")
        self.config = config
        self.width = config.width
        self.first = _convolution(1, config.width)
        groups = [_Skipped(*_group(config)) for _ in range(config.groups)]
        self.body = _Skipped(*groups, _convolution(config.width, config.width))

    def forward(self, image: Tensor) -> Tensor:
        """Maps (B, width, H, W) of images (B, 1, H, W) of any size."""
        maps: Tensor = self.body(self.first(image))
        return maps

    def features(self, image: Tensor) -> Tensor:
        """Means of the maps (B, width)."""
        maps: Tensor = self(image)
        return maps.mean((-2, -1))


class _Skipped(nn.Sequential):
    """Layers whose output is added to their input."""

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = super().forward(x)
        return x + change


class _ChannelAttention(nn.Module):
    """Weights each channel by a function of the means of all channels (eqs. 8 to 10)."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        middle = max(1, width // reduction)
        self.weigh = nn.Sequential(
            nn.Linear(width, middle), nn.ReLU(), nn.Linear(middle, width), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.weigh(x.mean((-2, -1)))
        return x * weight[..., None, None]


def _group(config: RcanConfig) -> list[nn.Module]:
    """The layers of a residual group (eq. 5)."""
    width = config.width
    blocks: list[nn.Module] = [
        _Skipped(
            _convolution(width, width),
            nn.ReLU(),
            _convolution(width, width),
            _ChannelAttention(width, config.reduction),
        )
        for _ in range(config.blocks)
    ]
    return [*blocks, _convolution(width, width)]


def _convolution(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)
