"""Physics-informed I-JEPA: a lens is fitted first, and the residuals are learnt."""

from __future__ import annotations

import math

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from learn.config import PositiveRange, PretrainConfig
from learn.lens_fits.channels import STACK, high_pass
from learn.methods.ijepa import IJEPA
from learn.views.masking import jepa_masks
from learn.views.perturbers import Perturbers, draw_perturbers
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
        perturber_weight: float = Field(ge=0, description="weight of the loss on injected masses")
        perturber_share: float = Field(
            gt=0, le=1, description="fraction of a batch with injected masses"
        )
        perturbers: int = Field(gt=0, description="most masses in a group")
        perturber_snr: PositiveRange = Field(description="S/N of the change that a group makes")
        perturber_free: float = Field(ge=0, lt=1, description="fraction of images without any")

        @model_validator(mode="after")
        def _learns(self) -> PhysicsIJEPA.Params:
            if not (self.prediction_weight or self.perturber_weight):
                raise ValueError("prediction_weight and perturber_weight must not both be 0")
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
                "params.perturber_weight=0 beside encoder.lens_fit.residual=none"
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

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        (image,) = views
        losses: dict[str, Tensor] = {}
        total = image.new_zeros(())
        asked = math.ceil(self.params.perturber_share * len(image))
        if self.params.perturber_weight:
            group = self._perturbers(image[:asked])
            image = self._with(image, group.change)
        prepared = self.encoder.prepare(image)
        if self.params.perturber_weight:
            losses |= self._weigh_masses(self.encoder.features(prepared.first(asked)), group)
            total = total + self.params.perturber_weight * (losses["presence"] + losses["weighing"])
        if self.params.prediction_weight:
            predicted = self.prediction(prepared, *self.masks(image))
            total = total + self.params.prediction_weight * predicted.pop("loss")
            losses |= predicted
        return {"loss": total} | losses

    def masks(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Context and targets; the light is where the image answers to a deflection."""
        if not self.params.lens_masking:
            return super().masks(image)
        strength = image[:, STACK["response"]].pow(2).sum(1, keepdim=True).sqrt()
        light = F.avg_pool2d(strength, self.encoder.config.patch_size, ceil_mode=True)
        return jepa_masks(len(image), self.encoder.grid, **self.mask_settings(), light=light[:, 0])

    def _with(self, image: Tensor, change: Tensor) -> Tensor:
        """The images, the first of them with changes (n, 1, H, W) in units of their noise."""
        first = image[: len(change)]
        sigma = first[:, STACK["sigma"]]
        light = change * sigma
        flux = self.stretch.undo(first) + light
        fit = self.config.encoder.lens_fit
        if fit and fit.residual == "high-pass":
            change = high_pass(light) / sigma
        changed = image.clone()
        changed[: len(change), STACK["flux"]] = self.stretch(flux)
        changed[: len(change), STACK["residual"]] = first[:, STACK["residual"]] + change
        return changed

    def _perturbers(self, image: Tensor) -> Perturbers:
        params = self.params
        # Half precision would not do for the least squares.
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            return draw_perturbers(
                image[:, STACK["response"]].float(),
                most=params.perturbers,
                snr=params.perturber_snr,
                absent=params.perturber_free,
            )

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
