"""Physics-informed I-JEPA: a lens is fitted first, and the residuals are learnt."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from learn.config import PositiveRange, PretrainConfig
from learn.data import Batch
from learn.lens_fits.channels import CHANNELS, STACK, high_pass
from learn.lens_fits.draws import Draws, DrawSettings
from learn.lens_fits.maps import change_snr
from learn.methods.ijepa import IJEPA
from learn.networks.encoder import N_WAVES
from learn.networks.lens_predictor import LensPredictor
from learn.views.masking import jepa_masks
from learn.views.perturbers import Perturbers, mix_perturbers
from learn.views.symmetries import random_symmetry
from lensphys.ground.errors import InputError

#: Limits of predicted log standard deviations.
_LOG_STD = 4.0


class PhysicsIJEPA(IJEPA):
    """I-JEPA on images, the residuals of their own lens fits, and the detection map of a mass.

    The lens equation puts unknown masses into an image, to first order in their deflection. From
    the features the method has to predict whether there are any, how strong they are, how many
    and how spread out. No label of the data set is used, and no kind of its substructure.
    """

    class Params(IJEPA.Params):
        """Parameters of the method."""

        lens_masking: bool = Field(description="target blocks lie where the lensed light is")
        prediction_weight: float = Field(ge=0, description="weight of I-JEPA's loss with its guard")
        teacher_sees: Literal["image", "masses"] = Field(
            description="what the teacher sees of the residual: all, or the injected masses alone"
        )
        predictor_knows: Literal["place", "source"] = Field(
            description="of a patch: its place in the image, or also the part of the source there"
        )
        perturber_weight: float = Field(ge=0, description="weight of the loss on injected masses")
        perturber_share: float = Field(
            gt=0, le=1, description="fraction of a batch with injected masses"
        )
        perturbers: int = Field(gt=0, description="most masses in a group")
        perturber_draws: int = Field(
            gt=0, description="groups drawn beside each image; a view mixes two of them"
        )
        perturber_snr: PositiveRange = Field(description="S/N of the change that a group makes")
        perturber_free: float = Field(ge=0, lt=1, description="fraction of images without any")

        @model_validator(mode="after")
        def _learns(self) -> PhysicsIJEPA.Params:
            if not (self.prediction_weight or self.perturber_weight):
                raise ValueError("prediction_weight and perturber_weight must not both be 0")
            if self.teacher_sees == "masses" and not self.perturber_weight:
                raise ValueError(
                    "without perturber_weight there are no masses: set teacher_sees=image"
                )
            return self

    params: Params

    @classmethod
    def check(cls, config: PretrainConfig, params: Params) -> None:  # type: ignore[override]
        fit = config.encoder.lens_fit
        if fit is None:
            raise InputError("physics-ijepa needs encoder.lens_fit; see configs/pretrain")
        if params.perturber_weight and fit.residual == "none":
            raise InputError(
                "without a residual there is nothing to weigh unknown masses by; set "
                "params.perturber_weight=0 and params.teacher_sees=image beside "
                "encoder.lens_fit.residual=none"
            )
        if params.teacher_sees == "masses" and fit.residual != "fit":
            raise InputError(
                "a teacher that sees masses alone needs the residual of the fit; set "
                "params.teacher_sees=image beside encoder.lens_fit.residual=" + fit.residual
            )

    def setup_method(self, params: Params) -> None:  # type: ignore[override]
        super().setup_method(params)
        width = self.encoder.width
        # What has no part in the loss would stop several processes that wait for its gradient.
        if not params.prediction_weight:
            del self.predictor
        if params.perturber_weight:
            # Presence; mean and log standard deviation of three numbers that describe the masses.
            self.weigh = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 7))

    def make_predictor(self, **sizes: int) -> nn.Module:
        if self.params.predictor_knows == "place":
            return super().make_predictor(**sizes)
        return LensPredictor(N_WAVES, **sizes)  # type: ignore[arg-type]

    @classmethod
    def draws(cls, params: Params) -> DrawSettings | None:  # type: ignore[override]
        if not params.perturber_weight:
            return None
        return DrawSettings(params.perturber_draws, params.perturbers)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        if not self.params.perturber_weight:
            return super().losses(batch)
        params, count = self.params, math.ceil(self.params.perturber_share * len(batch.image))
        group = self._mix(batch, count)
        symmetry = random_symmetry(len(batch.image), batch.image.device)
        view = self.view(self._put_in(batch, group.change), symmetry)
        prepared = self.encoder.prepare(view)
        features = self.encoder.features(prepared.first(count))
        losses = self._weigh_masses(features, group)
        total = params.perturber_weight * (losses["presence"] + losses["weighing"])
        if params.prediction_weight:
            shown = None
            if params.teacher_sees == "masses":
                alone = self._put_in(_without_residuals(batch), group.change)
                shown = self.encoder.prepare(self.view(alone, symmetry))
            predicted = self.prediction(prepared, *self.masks(view), shown, self.known(view))
            total = total + params.prediction_weight * predicted.pop("loss")
            losses |= predicted
        return {"loss": total} | losses

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        losses = super().loss(*views)
        return losses | {"loss": self.params.prediction_weight * losses["loss"]}

    def known(self, image: Tensor) -> dict[str, Tensor]:
        if self.params.predictor_knows == "place":
            return super().known(image)
        return {"waves": self.encoder.source_waves(image)}

    def masks(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Context and targets; the light is where the image answers to a deflection."""
        if not self.params.lens_masking:
            return super().masks(image)
        strength = image[:, STACK["response"]].pow(2).sum(1, keepdim=True).sqrt()
        light = F.avg_pool2d(strength, self.encoder.config.patch_size, ceil_mode=True)
        return jepa_masks(len(image), self.encoder.grid, **self.mask_settings(), light=light[:, 0])

    def _mix(self, batch: Batch, count: int) -> Perturbers:
        """Masses for the first images of a batch."""
        fits = batch.fits
        assert fits is not None
        assert isinstance(fits.draws, Tensor)
        assert fits.moments is not None
        draws = Draws(fits.draws[:count], fits.moments[:count])
        snr, absent = self.params.perturber_snr, self.params.perturber_free
        return mix_perturbers(draws, snr=snr, absent=absent)

    def _put_in(self, batch: Batch, change: Tensor) -> Batch:
        """A batch, the first images of which have changes (n, 1, H, W) in units of their noise."""
        assert batch.fits is not None
        assert batch.channels is not None
        count, parts = len(change), CHANNELS.split(batch.channels.clone())
        first = {name: part[:count] for name, part in parts.items()}
        image = batch.image.clone()
        light = change * first["sigma"]
        image[:count] += light
        fit = self.config.encoder.lens_fit
        assert fit is not None
        if fit.residual == "high-pass":
            first["residual"] += high_pass(light) / first["sigma"]
        else:
            first["residual"] += change
            first["snr"] += change_snr(change, first["response"], first["log_error"])
        fits = dataclasses.replace(batch.fits, channels=CHANNELS.join(parts))
        return batch._replace(image=image, fits=fits)

    def _weigh_masses(self, features: Tensor, group: Perturbers) -> dict[str, Tensor]:
        """Losses of predicting the masses that were put in, from features (B, D)."""
        answer = self.weigh(features).float()
        mean, log_std = answer[:, 1:4], answer[:, 4:].clamp(-_LOG_STD, _LOG_STD)
        error = (group.described - mean) * torch.exp(-log_std)
        unlikely = (log_std + 0.5 * error.pow(2)).mean(1)
        return {
            "presence": F.binary_cross_entropy_with_logits(answer[:, 0], group.present),
            "weighing": (unlikely * group.present).sum() / group.present.sum().clamp_min(1),
        }


def _without_residuals(batch: Batch) -> Batch:
    """A batch whose images are what their fits say, without noise or masses beside them."""
    assert batch.fits is not None
    assert batch.channels is not None
    parts = CHANNELS.split(batch.channels.clone())
    image = batch.image - parts["residual"] * parts["sigma"]
    for name in ("residual", "snr"):
        parts[name].zero_()
    return batch._replace(
        image=image, fits=dataclasses.replace(batch.fits, channels=CHANNELS.join(parts))
    )
