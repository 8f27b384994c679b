"""The files of an encoder: its weights, and the description that marks them as complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from learn.config import EncoderConfig, TrainingConfig
from learn.lens_fits.channels import CHANNELS
from learn.lens_fits.solve import VERSION
from learn.networks.encoder import Encoder
from learn.networks.rcan import RCAN, Rcan, RcanConfig
from learn.networks.size import check_weights
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from learn.run_files import DESCRIPTION, no_encoder
from lensphys.ground.config import validate
from lensphys.ground.errors import InputError
from lensphys.ground.files import check_readable, read_json, replacing, write_text

WEIGHTS = "encoder.safetensors"
#: The key of a description that holds the recipe of the lens fits which an encoder sees.
LENS_FITS = "lens_fits"
#: The recipe of lens fits: its version, and the number of channels of each kind.
_RECIPE = {"version": VERSION, "channels": dict(CHANNELS.parts)}
#: The networks that a task can be built on.
Backbone = Encoder | TimmBackbone | Rcan


def describe_encoder(
    config: TrainingConfig, attrs: dict[str, Any], encoder: Backbone
) -> dict[str, Any]:
    """The description that every encoder has, whatever trained it.

    Args:
        config: configuration of the run; its ``method`` or ``task`` is noted.
        attrs: of the data set that it was trained on.
        encoder: the network.
    """
    kind = next(name for name in ("method", "task") if hasattr(config, name))
    return {
        kind: getattr(config, kind),
        "data": {key: attrs.get(key) for key in ("model", "preset", "pixel_scale")},
        "seed": config.seed,
        "stretch": config.stretch.model_dump(),
        "parameters": count_parameters(encoder),
        LENS_FITS: describe_lens_fits(encoder),
    }


def describe_lens_fits(encoder: Backbone) -> dict[str, Any] | None:
    """The recipe of the lens fits that an encoder sees; None for an encoder of images alone."""
    if getattr(encoder.config, "lens_fit", None) is None:
        return None
    return _RECIPE


def check_lens_fits(section: Mapping[str, object], found: object, where: Path) -> None:
    """Refuse an encoder that was trained on lens fits of another recipe than this version makes.

    Its configuration may be of another version too, so this comes first.

    Args:
        section: configuration of the encoder, as it was saved.
        found: what :func:`describe_lens_fits` returned when it was saved; None of one of an earlier
            version.
        where: the folder of the run.

    Raises:
        InputError: for one.
    """
    # Encoders of earlier versions call it prior.
    sees_fits = any(section.get(name) is not None for name in ("lens_fit", "prior"))
    if not sees_fits or found == _RECIPE:
        return
    version = found.get("version") if isinstance(found, dict) else None
    raise InputError(
        f"the encoder of {where} was trained on lens fits of another recipe ({version or 'earlier'}"
        f") than this version makes ({VERSION}): delete that folder and run its command again, or "
        "train another with a new --out"
    )


def save_encoder(encoder: Backbone, folder: Path, description: dict[str, object]) -> None:
    """Write ``encoder.safetensors`` and, last, ``encoder.json``, which marks it as complete."""
    save_weights(encoder, folder / WEIGHTS)
    content = description | {"encoder": encoder.config.model_dump()}
    write_text(folder / DESCRIPTION, json.dumps(content, indent=1) + "\n")


def count_parameters(encoder: Backbone) -> int:
    """Number of parameters that are trained where all of the network is."""
    fresh = build_encoder(encoder.config.model_dump(), "")  # this one may be frozen
    return sum(p.numel() for p in fresh.parameters() if p.requires_grad)


def load_encoder(folder: Path) -> Backbone:
    """The encoder that a run has left.

    Raises:
        InputError: for a folder without a finished encoder, or weights of another architecture.
    """
    path, about = folder / DESCRIPTION, read_description(folder)
    section = about.get("encoder")
    if not isinstance(section, dict):
        raise _damaged(path)
    check_lens_fits(section, about.get(LENS_FITS), folder)
    encoder = build_encoder(section, str(path))
    load_weights(encoder, folder / WEIGHTS)
    return encoder


def read_description(folder: Path) -> dict[str, Any]:
    """Read the description of the encoder that a run has left.

    Raises:
        InputError: for a folder without a finished encoder, or a damaged file.
    """
    path = folder / DESCRIPTION
    if not (path.is_file() and (folder / WEIGHTS).is_file()):
        raise no_encoder(folder)
    try:
        return read_json(path)
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged; run its pretrain command again")


def build_encoder(section: dict[str, object], where: str) -> Backbone:
    """Build the encoder with this configuration, with random weights.

    Raises:
        InputError: for a configuration of no encoder, naming ``where`` it stands.
    """
    if isinstance(section, dict) and section.get("backbone") == RCAN:
        return Rcan(validate(RcanConfig, section, where))
    if isinstance(section, dict) and "backbone" in section:
        return TimmBackbone(validate(TimmConfig, section, where))
    config = validate(EncoderConfig, section, where)
    check_weights(config, where)
    return Encoder(config)


def save_weights(module: nn.Module, path: Path, header: dict[str, str] | None = None) -> None:
    """Write the weights of a module as safetensors, whole or not at all.

    Raises:
        InputError: if there is no room for them.
    """
    write_weights(module.state_dict(), path, header)


def write_weights(
    weights: Mapping[str, Tensor], path: Path, header: dict[str, str] | None = None
) -> None:
    """Write weights by name as safetensors, whole or not at all.

    Raises:
        InputError: if there is no room for them.
    """
    own = {name: value.cpu().contiguous() for name, value in weights.items()}
    with replacing(path) as temporary:  # safetensors itself would write a file for one user alone
        temporary.write_bytes(save(own, metadata=header))


def load_weights(module: nn.Module, path: Path, more: Mapping[str, Tensor] | None = None) -> None:
    """Load safetensors weights into a module.

    Args:
        module: the network.
        path: the file.
        more: weights by name that stand in another file.

    Raises:
        InputError: for an unreadable file or weights of another architecture.
    """
    weights = read_weights(path)
    try:
        module.load_state_dict(weights | dict(more or {}))
    except RuntimeError:
        raise InputError(
            f"the weights in {path} belong to another architecture than {path.parent} describes"
        ) from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read safetensors weights, by name.

    Raises:
        InputError: for an unreadable file.
    """
    check_readable(path)
    try:
        weights: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError):
        raise InputError(f"{path} cannot be read as safetensors; it is truncated or foreign") from (
            None
        )
    return weights
