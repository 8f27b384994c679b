"""The number of images that memory holds while a network predicts them."""

from __future__ import annotations

import sys

import torch

from learn.inference.network import Network
from lensphys.ground.room import free_memory

#: Bytes to a pixel of an image while it is predicted, by the greediest networks: maps of 64 floats
#: in several layers, or the derivatives of a lens fit.
_BYTES = 4000
#: Images that are always taken at a time.
_LEAST = 256


def images_in_memory(model: Network) -> int:
    """Images that half of the free memory of a device holds; an estimate on the safe side."""
    device = model.flux_stretch.softening.device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    if free is None:
        return sys.maxsize
    return max(_LEAST, free // 2 // (_BYTES * (model.factor * model.size) ** 2))
