"""Sizes of networks: the memory that one takes, before it is built.

Nothing here imports torch, so that a network that is too large is refused at once.
"""

from __future__ import annotations

from learn.config import EncoderConfig
from lensphys.ground.room import check_memory

#: Value of ``backbone`` for the vision transformer that pretraining trains.
VIT = "vit"
#: Bytes of a parameter in training: itself, its gradient, and two moments of AdamW, of 4 each.
TRAINED = 16
#: Bytes of a number of the position embedding while it is computed: numpy in double precision,
#: beside its sines and cosines.
_POSITION = 24
#: Bytes that the gradients need of a number in the output of a block, at the very least.
_KEPT = 20
_SMALLER = "make {0}.embed_dim, {0}.depth or {0}.image_size smaller, or {0}.patch_size larger"


def check_encoder(section: str, config: EncoderConfig) -> None:
    """Refuse to train an encoder that is larger than memory.

    Args:
        section: of the configuration, for the message.
        config: of the encoder.

    Raises:
        InputError: with its sizes, and both numbers of bytes.
    """
    check_memory(_bytes(config, TRAINED), _describe(config), _SMALLER.format(section))


def check_batch(section: str, config: EncoderConfig, images: int, part: float = 1.0) -> None:
    """Refuse batches that do not fit into memory beside their encoder.

    Args:
        section: of the configuration, for the message.
        config: of the encoder.
        images: that go through it at a time.
        part: of their patches that are not left out, at the very least.

    Raises:
        InputError: with both numbers of bytes.
    """
    outputs = part * images * _count_tokens(config) * config.embed_dim * config.depth
    need = _bytes(config, TRAINED) + _KEPT * outputs
    advice = "make optimizer.batch_size smaller, or optimizer.accumulate larger"
    what = f"batches of {images:,} images of {_count_tokens(config):,} patches each"
    check_memory(need, what, f"{advice}; or {_SMALLER.format(section)}")


def check_weights(config: EncoderConfig, where: str) -> None:
    """Refuse an encoder whose weights are larger than memory.

    Args:
        config: of the encoder.
        where: it is described, for the message.

    Raises:
        InputError: with its sizes, and both numbers of bytes.
    """
    check_memory(_bytes(config, 4), _describe(config), f"{where} may be damaged")


def _bytes(config: EncoderConfig, each: int) -> int:
    positions = _POSITION * _count_tokens(config) * config.embed_dim
    return each * count_parameters(config) + positions


def _describe(config: EncoderConfig) -> str:
    return (
        f"the {count_parameters(config):,} parameters of the encoder, and its "
        f"{_count_tokens(config):,} patches of an image,"
    )


def _count_tokens(config: EncoderConfig) -> int:
    return (config.image_size // config.patch_size) ** 2


def count_parameters(config: EncoderConfig) -> int:
    """Number of parameters of an encoder that sees the image alone, at least of any other."""
    width, patch = config.embed_dim, config.patch_size**2
    block = 12 * width**2 + 13 * width
    return patch * width + width + config.depth * block + 2 * width
