"""Limits of trainings: numbers that no machine can work with, and networks larger than memory.

They are looked at before anything is built, and before torch is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from learn.config import EncoderConfig, FinetuneConfig, PretrainConfig, TrainingConfig
from learn.networks.size import VIT, check_encoder
from lensphys.ground.errors import InputError

#: The largest number in a section; 32 bits hold it, and none that is used comes near it.
_LARGEST = 10**9
#: The sections of a configuration whose numbers are looked at.
_SECTIONS = (
    "optimizer",
    "stretch",
    "jitter",
    "monitor",
    "encoder",
    "scratch_encoder",
    "lora",
    "params",
)
#: Keys in params that count the layers of a network, each of which takes time to build, and their
#: limit; the depth of an encoder has its own in the schema.
_LAYERS = {
    "decoder_depth",
    "predictor_depth",
    "blocks",
    "groups",
    "targets",
    "local_views",
    "perturbers",
}
_MOST_LAYERS = 1000
_MOST_DEVICES = 1024


def check_limits(config: TrainingConfig) -> None:
    """Refuse a training that cannot be.

    Raises:
        InputError: for numbers out of all bounds, or an encoder that does not fit into memory.
    """
    sections = config.model_dump(include={*_SECTIONS})
    for key, value in _numbers(sections):
        most = _MOST_LAYERS if key.rpartition(".")[2] in _LAYERS else _LARGEST
        if not -most <= value <= most:
            # Whole numbers may have more digits than Python writes.
            number = f"{value:.6g}" if abs(value) < 1e301 else "1e300 or more"
            raise InputError(f"{key} = {number} is too large; the most is {most:,}")
    for key in ("devices", "nodes"):
        if getattr(config, key) > _MOST_DEVICES:
            raise InputError(
                f"{key} = {getattr(config, key):,} is too many; the most is {_MOST_DEVICES:,}"
            )
    if encoder := trained_encoder(config):
        check_encoder(*encoder)


def trained_encoder(config: TrainingConfig) -> tuple[str, EncoderConfig] | None:
    """The encoder that a training builds, and its section; None for other networks."""
    if isinstance(config, PretrainConfig):
        return "encoder", config.encoder
    if isinstance(config, FinetuneConfig) and (config.encoder, config.backbone) == ("none", VIT):
        return "scratch_encoder", config.scratch_encoder
    return None


def _numbers(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in sections within sections, by dotted keys."""
    for key, value in values.items():
        name = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping):
            yield from _numbers(value, name)
        elif isinstance(value, list | tuple):
            yield from _numbers({str(i): each for i, each in enumerate(value)}, name)
        elif isinstance(value, int | float):
            yield name, value
