"""Configurations of training, prediction and audit; defaults live in ``configs/``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lensphys.ground.config import Strict


class LensFitConfig(Strict):
    """The channels of a lens fit that an encoder receives beside the image."""

    steps: int = Field(ge=0, description="Gauss-Newton steps at most; 0: the best template alone")
    residual: Literal["fit", "high-pass", "none"] = Field(
        description="image less model in sigma; or, as a control, image less its local mean"
    )
    response: bool = Field(description="change of the image with a deflection")
    source_plane: bool = Field(description="origin of each patch in the source plane")
    detection: bool = Field(description="S/N maps of one more mass, and the errors of the mass")
    source: Literal["auto", "sersic", "shapelets"] = Field(
        description="of the fit; auto: shapelets where sources have structure of their own"
    )
    source_order: int | tuple[int, int] = Field(
        description="highest order of the shapelets, or those of two scales"
    )

    @model_validator(mode="after")
    def _has_what_it_searches(self) -> LensFitConfig:
        if self.detection and self.residual != "fit":
            raise ValueError(
                "encoder.lens_fit.detection searches the residual of the fit: set it to false "
                f"beside encoder.lens_fit.residual={self.residual}"
            )
        return self


def _rising_and_positive(ends: tuple[float, float]) -> tuple[float, float]:
    if not 0 < ends[0] <= ends[1]:
        raise ValueError("must be two numbers above 0, the lower one first")
    return ends


PositiveRange = Annotated[tuple[float, float], AfterValidator(_rising_and_positive)]


class EncoderConfig(Strict):
    """A timm vision transformer without class token."""

    image_size: int = Field(gt=0, description="the size its position embedding is made for")
    patch_size: int = Field(gt=0)
    embed_dim: int = Field(gt=0, multiple_of=4)
    depth: int = Field(gt=0, le=1000)
    num_heads: int = Field(gt=0)
    lens_fit: LensFitConfig | None = Field(
        None,
        # Encoders of earlier versions call it prior.
        validation_alias=AliasChoices("lens_fit", "prior"),
        description="null: the encoder sees the image alone",
    )

    @model_validator(mode="after")
    def _divides(self) -> EncoderConfig:
        if rest := self.image_size % self.patch_size:
            least = self.image_size - rest
            sizes = f"{least} or {least + self.patch_size}" if least else f"{self.patch_size}"
            raise ValueError(
                f"encoder.image_size = {self.image_size} is no multiple of encoder.patch_size = "
                f"{self.patch_size}; use {sizes} (of larger images binning=1 shows the middle)"
            )
        if self.embed_dim % self.num_heads:
            raise ValueError("encoder.embed_dim must be a multiple of encoder.num_heads")
        return self


class StretchConfig(Strict):
    """The stretch that turns fluxes into network inputs."""

    kind: Literal["asinh", "linear"]
    floor: float = Field(
        gt=0, description="asinh is linear below the noise, or below this part of the peak flux"
    )


class AffineConfig(Strict):
    """Affine changes about the centre of an image, as earlier systems were trained with.

    A turn leaves the lens what it is; zoom and shear do not.
    """

    rotation: float = Field(ge=0, le=180, description="uniform within +- so many degrees")
    zoom: float = Field(ge=0, lt=1, description="size uniform within 1 +- this")
    shear: float = Field(ge=0, lt=45, description="along x, uniform within +- so many degrees")


class JitterConfig(Strict):
    """Small changes of an image, drawn anew for every view, that leave the lens what it is."""

    shift: float = Field(ge=0, description="uniform within +- so many pixels on each axis")
    blur: float = Field(ge=0, description="Gaussian, standard deviation uniform up to this, pixels")
    noise: float = Field(
        ge=0, description="Gaussian, up to so many times the noise level (or floor) of the stretch"
    )
    affine: AffineConfig | None = Field(
        None, exclude_if=lambda value: value is None, description="changes that may also alter it"
    )


class MonitorConfig(Strict):
    """Monitoring of an encoder while it learns, on images that it is not trained on."""

    every: int = Field(gt=0, description="epochs between measurements; the last is always measured")
    images: int = Field(ge=20, description="held out; a fifth of the data set at most")

    def held_out(self, count: int) -> int:
        """Number of images that are held out of so many."""
        return min(self.images, count // 5)


class OptimizerConfig(Strict):
    """AdamW with linear warm-up and cosine decay."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0, description="images of a step, over all devices and parts")
    accumulate: int = Field(gt=0, description="parts that a batch is worked through in")
    base_lr: float = Field(gt=0, description="learning rate at a batch of 512")
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)

    @property
    def lr(self) -> float:
        """Peak learning rate: the base rate scaled by the square root of the batch size."""
        return float(self.base_lr * (self.batch_size / 512) ** 0.5)


#: Short names of precisions, and what Lightning calls them.
_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}
Precision = Annotated[
    Literal["auto", "32-true", "bf16-mixed"],
    BeforeValidator(lambda value: _PRECISIONS.get(str(value), value)),
]


class TrainingConfig(Strict):
    """Settings that pretraining and fine-tuning share."""

    data: Path | None
    out: Path | None
    seed: int = Field(ge=0, lt=2**32)
    device: Literal["auto", "cpu", "cuda"]
    devices: int = Field(gt=0, description="number on each node; one process each")
    nodes: int = Field(gt=0)
    precision: Precision
    compile: bool = Field(description="torch.compile the encoder: slow to start, then faster")
    stretch: StretchConfig
    optimizer: OptimizerConfig
    augment: bool = Field(description="random quarter turns, flips and, in pretraining, jitter")
    # Runs of an earlier version, and those on data sets without published parts, do not state it.
    published_split: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description="published parts for training, validation and test stay what they are",
    )
    params: dict[str, Any] = Field(description="keys of the method or task; see its file")

    @property
    def processes(self) -> int:
        """Number of processes that train, one a device."""
        return self.devices * self.nodes


class PretrainConfig(TrainingConfig):
    """``python cli.py pretrain``."""

    method: str
    classes: tuple[str, ...] | None = Field(description="pretrain on these only; null: on all")
    # Runs without it keep the identity that they had before there was one.
    binning: int | None = Field(
        None,
        gt=0,
        exclude_if=lambda value: value is None,
        description="pixels on a side that are summed into one; of what results the encoder sees "
        "the middle, of its size. null: images are of its size",
    )
    encoder: EncoderConfig
    jitter: JitterConfig
    monitor: MonitorConfig | None

    @model_validator(mode="after")
    def _fits_what_it_shows(self) -> PretrainConfig:
        jitter = self.jitter
        changes = jitter.shift, jitter.blur, jitter.noise, jitter.affine
        if self.encoder.lens_fit and self.augment and any(changes):
            raise ValueError(
                "jitter must be 0 throughout where the encoder sees lens fits: the fit is of the "
                "image as it is"
            )
        return self


Mode = Literal["full", "linear", "lora"]
#: Names of what is trained: the whole network; its head; or its head, and low-rank changes of the
#: encoder.
MODES: tuple[str, ...] = get_args(Mode)


class LoraConfig(Strict):
    """Low-rank changes of an encoder, as ``--mode lora`` trains them (Hu et al. 2021)."""

    rank: int = Field(gt=0)
    alpha: float = Field(gt=0, description="the changes are scaled by alpha / rank")
    layers: tuple[str, ...] = Field(
        min_length=1, description="ends of the names of the linear layers that are changed"
    )


class FinetuneConfig(TrainingConfig):
    """``python cli.py finetune``."""

    task: str
    encoder: str = Field(
        description="latest, default (what ships), none (from scratch), or the folder of a run"
    )
    # Runs that need no leave do not state it, and keep their identity.
    allow_other_preset: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description="the data may be of another preset than that of the encoder",
    )
    backbone: str = Field(description="vit, a timm model, or rcan, where encoder is none")
    scratch_encoder: EncoderConfig = Field(description="the vit where encoder is none")
    mode: Mode
    # Runs in another mode do not depend on it, and keep their identity without it.
    lora: LoraConfig | None = Field(None, exclude_if=lambda value: value is None)
    # Runs with one rate for all do not state it, and keep their identity.
    encoder_rate: float = Field(
        1.0,
        gt=0,
        le=1,
        exclude_if=lambda value: value == 1,
        description="learning rate of a pretrained encoder over that of the head, in mode full",
    )
    labels_per_class: int | None = Field(gt=0)
    validation_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    max_images: int | None = Field(gt=0, description="use the first so many images; null: all")
    patience: int = Field(gt=0, description="epochs without improvement before stopping")
    # A run of an earlier version does not state it.
    false_flags: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="fraction of ordinary images that predictions flag as unlike the training; "
        "null: none are flagged",
    )

    @field_validator("lora")
    @classmethod
    def _is_of_its_mode(cls, lora: LoraConfig | None, info: ValidationInfo) -> LoraConfig | None:
        return lora if info.data.get("mode") == "lora" else None

    @model_validator(mode="after")
    def _says_what_is_adapted(self) -> FinetuneConfig:
        if self.mode == "lora" and self.lora is None:
            raise ValueError("mode=lora needs the section lora: see configs/finetune")
        return self

    @model_validator(mode="after")
    def _leaves_training_images(self) -> FinetuneConfig:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must leave images to train on")
        return self


class PredictConfig(Strict):
    """Options of ``python cli.py predict``; defaults live in ``configs/predict/predict.yaml``."""

    out: Path | None = Field(description="table, or folder of super-resolved images")
    pixel_scale: float | None = Field(gt=0, description="arcsec, of files that do not state it")
    exposure_time: float | None = Field(
        gt=0, description="s in all, of images that do not state it; null: as in training"
    )
    hdu: str | None = Field(
        min_length=1,
        coerce_numbers_to_str=True,
        description="name or number of the extension of FITS files",
    )
    fill: Literal["median", "zero"] = Field(description="value of bad pixels")
    batch_size: int = Field(gt=0, lt=2**31)
    device: Literal["auto", "cpu", "cuda"]


class EmbedConfig(PredictConfig):
    """Options of ``python cli.py embed``; defaults live in ``configs/embed/embed.yaml``."""

    out: Path | None = Field(description="table of features: HDF5, Parquet or CSV")


class AuditConfig(Strict):
    """``python cli.py audit``."""

    seed: int = Field(ge=0, lt=2**32)
    test_fraction: float = Field(gt=0, lt=1)
    least_test_images_per_class: int = Field(gt=1)
    labels_per_class: int | None = Field(gt=0)
    radial_auc_max: float = Field(gt=0.5, le=1)
    twin_accuracy: tuple[float, float]
    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1)
    lr: float = Field(gt=0)
    width: int = Field(gt=0)
    out: Path | None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 <= self.twin_accuracy[0] <= self.twin_accuracy[1] <= 1:
            raise ValueError("twin_accuracy must rise from 0 to 1")
        return self
