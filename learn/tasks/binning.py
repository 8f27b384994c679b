"""Pixels that are summed into one before an encoder sees an image."""

from __future__ import annotations

from pydantic import Field

from learn.networks.encoder import Encoder
from learn.networks.encoder_files import Backbone
from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError

#: Least number of pixels on a side of a binned image.
_LEAST_PIXELS = 8


class BinnedParams(Strict):
    """Parameters that tasks share whose predictions are no images."""

    # A run of an earlier version does not state it; it saw the pixels as they are.
    binning: int | None = Field(
        1,
        gt=0,
        description="pixels on a side that are summed into one before the encoder sees them; null: "
        "what brings an image nearest to the size that the encoder was made for",
    )


def find_binning(params: Strict, encoder: Backbone, size: int) -> int:
    """Number of pixels on a side of an image that an encoder sees as one.

    Args:
        params: of the task.
        encoder: that sees them.
        size: pixels on a side of the images.

    Raises:
        InputError: if hardly anything would be left of an image.
    """
    wanted = params.binning if isinstance(params, BinnedParams) else 1
    if wanted is None:
        # Other backbones than a vision transformer are made for the size of the images.
        made_for = encoder.config.image_size if isinstance(encoder, Encoder) else size
        return max(1, round(size / made_for))
    if wanted > 1 and size // wanted < _LEAST_PIXELS:
        raise InputError(
            f"params.binning = {wanted} leaves {size // wanted} pixels on a side of {size}; "
            f"{size // _LEAST_PIXELS} is the most"
        )
    return wanted
