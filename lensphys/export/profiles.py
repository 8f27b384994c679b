"""Parameters of the profiles of one image of a batch, as numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lensphys.parameters import parameter_fields


def read_profile(profile: Any, index: int) -> dict[str, Any]:
    """Read the parameters of a profile as floats, and its rows of amplitudes as arrays.

    Args:
        profile: of mass or of light.
        index: image of the batch, where there is one.
    """
    found: dict[str, Any] = {}
    for field in parameter_fields(profile):
        value = getattr(profile, field.name)
        if isinstance(value, Tensor):
            value = take_image(value.detach(), index, 0)
        found[field.name] = float(value)
    for key in getattr(profile, "_each", ()):
        row = torch.as_tensor(getattr(profile, key)).detach()
        found[key] = take_image(row, index, 1).double().cpu().numpy()
    return found


def take_image(value: Tensor, index: int, dims: int) -> Tensor:
    """Values of one image, of ``dims`` dimensions, of which there may be a batch or not."""
    return value[index if len(value) > 1 else 0] if value.ndim > dims else value
