"""Configurations of pretraining and fine-tuning; defaults live in ``configs/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from simulate.config import Strict


class EncoderConfig(Strict):
    """A timm vision transformer without class token."""

    image_size: int = Field(gt=0, description="the size its position embedding is made for")
    patch_size: int = Field(gt=0)
    embed_dim: int = Field(gt=0, multiple_of=4)
    depth: int = Field(gt=0)
    num_heads: int = Field(gt=0)

    @model_validator(mode="after")
    def _divides(self) -> EncoderConfig:
        if self.image_size % self.patch_size:
            raise ValueError("encoder.image_size must be a multiple of encoder.patch_size")
        if self.embed_dim % self.num_heads:
            raise ValueError("encoder.embed_dim must be a multiple of encoder.num_heads")
        return self


class StretchConfig(Strict):
    """How fluxes become network inputs."""

    kind: Literal["asinh", "linear"]
    floor: float = Field(
        gt=0, description="asinh is linear below the noise, or below this part of the peak flux"
    )


class OptimizerConfig(Strict):
    """AdamW with linear warm-up and cosine decay."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    base_lr: float = Field(gt=0, description="learning rate at a batch of 512")
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)

    @property
    def lr(self) -> float:
        """Peak learning rate: the base rate scaled by the square root of the batch size."""
        return float(self.base_lr * (self.batch_size / 512) ** 0.5)


class TrainingConfig(Strict):
    """What pretraining and fine-tuning share."""

    data: Path | None
    out: Path | None
    seed: int = Field(ge=0, lt=2**32)
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "32-true", "bf16-mixed"]
    stretch: StretchConfig
    optimizer: OptimizerConfig
    augment: bool = Field(description="random quarter turns and flips")
    params: dict[str, Any] = Field(description="of the method or task; see its file")


class PretrainConfig(TrainingConfig):
    """``python cli.py pretrain``."""

    method: str
    classes: tuple[str, ...] | None = Field(description="pretrain on these only; null: on all")
    encoder: EncoderConfig


class FinetuneConfig(TrainingConfig):
    """``python cli.py finetune``."""

    task: str
    encoder: str = Field(description="latest, none (from scratch), or the folder of a run")
    scratch_encoder: EncoderConfig = Field(description="the network where encoder is none")
    mode: Literal["full", "linear"]
    labels_per_class: int | None = Field(gt=0)
    validation_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    max_images: int | None = Field(gt=0, description="use the first so many images; null: all")
    patience: int = Field(gt=0, description="epochs without improvement before stopping")

    @model_validator(mode="after")
    def _leaves_training_images(self) -> FinetuneConfig:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must leave images to train on")
        return self
