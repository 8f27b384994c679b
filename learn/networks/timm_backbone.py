"""Any classifier of timm as a backbone: the supervised baselines."""

from __future__ import annotations

import difflib

import timm
import torch
from pydantic import Field
from torch import Tensor, nn

from learn.networks.size import VIT
from learn.networks.trial import check_network
from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError


class TimmConfig(Strict):
    """A backbone of timm for single-channel images, from random weights."""

    backbone: str
    image_size: int = Field(gt=0)


class TimmBackbone(nn.Module):
    """Features of images, from a model that timm knows by name.

    Raises:
        InputError: for a name that timm does not know (with the nearest it does), or a model that
            does not take images of this size.
    """

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        self.config = config
        name, size = config.backbone, config.image_size
        known = timm.list_models()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise InputError(
                f"timm has no model '{name}' (did you mean '{near}'?); --backbone takes a name "
                f"without the tag of its weights, or {VIT}"
            )
        try:
            check_network(
                lambda: _create(name, size),
                f"the parameters of timm's {name}",
                "choose a smaller --backbone",
            )
            self.model = _create(name, size)
            self.width = self._features_of_nothing().shape[1]
        except (AssertionError, RuntimeError, ValueError, TypeError, IndexError) as error:
            raise InputError(
                f"timm's {name} does not take single-channel images of {size} pixels ({error}); "
                "choose another --backbone"
            ) from None

    @torch.no_grad()
    def _features_of_nothing(self) -> Tensor:
        """Features of one dark image: not every model states their number correctly."""
        self.model.eval()
        size = self.config.image_size
        features: Tensor = self.model(torch.zeros(1, 1, size, size))
        self.model.train()
        return features.flatten(1)

    def features(self, image: Tensor) -> Tensor:
        """Features (B, D) of images (B, 1, H, W)."""
        features: Tensor = self.model(image)
        return features.flatten(1)


def _create(name: str, size: int) -> nn.Module:
    """Create a model without a classifier, for images of so many pixels on a side."""
    options = {"pretrained": False, "in_chans": 1, "num_classes": 0}
    try:  # transformers must be told the size; convolutional networks do not know the word
        model: nn.Module = timm.create_model(name, img_size=size, **options)
    except TypeError:
        model = timm.create_model(name, **options)
    return model
