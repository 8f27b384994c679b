"""Super-resolution: the image of a better telescope from that of a worse one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.nn import functional as F

from learn.backbone import Encoder
from learn.data import Batch
from learn.figures import draw_triptychs
from learn.tasks.base import Task
from simulate.config import Strict
from simulate.errors import InputError
from simulate.shards import DataSet


class SuperResolve(Task):
    """Corrects the bicubic image with local convolutions and the encoder's view of the whole.

    A convolutional trunk works at low resolution; the encoder's tokens are spread back over their
    patches and join it; pixels are shuffled to high resolution at the end (Shi et al. 2016,
    arXiv:1609.05158). The last layer starts at zero, so that training starts from bicubic.
    """

    default_data = ("data/model1", "data/model3", "data/model2")
    needs = "python cli.py simulate --model 1 --pairs 2 --n 6000"
    needs_tokens = True
    column = "image_lr"
    makes_images = True

    scale: Tensor
    gain: Tensor
    encoder: Encoder

    class Params(Strict):
        """Parameters of the task."""

        width: int = Field(gt=0, description="channels of the convolutions")
        blocks: int = Field(gt=0, description="residual blocks")

    @classmethod
    def serves(cls, data_config: dict[str, Any]) -> bool:
        return data_config["pairs"] is not None

    @classmethod
    def inputs(cls, data: DataSet) -> NDArray[np.float32]:
        if data.image_lr is None:
            raise InputError(
                f"{data.path} has no low-resolution images; make pairs with `{cls.needs}`"
            )
        high, low = data.image.shape[-1], data.image_lr.shape[-1]
        if high % low:
            raise InputError(f"{data.path}: {high} pixels are not a multiple of {low}")
        return data.image_lr

    @classmethod
    def must_match(cls, data: DataSet) -> dict[str, Any]:
        return super().must_match(data) | {"pixel_scale_lr": data.attrs["pixel_scale_lr"]}

    def setup_head(self, params: Params, data: DataSet, train: NDArray[np.int64]) -> None:
        high, low = data.image[train], self.inputs(data)[train]
        self.factor = high.shape[-1] // low.shape[-1]
        width, encoder = params.width, self.encoder.config
        # The peak flux: networks want numbers about one, and the output must stay linear in flux.
        peak = float(np.quantile(high.max((1, 2, 3)), 0.99))
        self.register_buffer("scale", torch.tensor(peak))
        # Flux per pixel at high resolution over that at low: about a quarter for a factor of two.
        self.register_buffer("gain", torch.tensor(float(high.mean() / low.mean())))
        self.spread = nn.Sequential(
            nn.Linear(encoder.embed_dim, width * encoder.patch_size**2 // 4),
            nn.GELU(),
        )
        self.first = nn.Conv2d(2, width, 3, padding=1)
        self.join = nn.Conv2d(width + width // 4, width, 1)
        self.trunk = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(params.blocks)
        )
        self.last = nn.Conv2d(width, self.factor**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def predict_batch(self, batch: Batch) -> Tensor:
        """High-resolution flux (B, 1, H, W)."""
        low = batch.image_lr
        assert low is not None
        x = low * self.gain / self.scale
        tokens = self.spread(self.encoder(self.stretch(low)))
        side, patch = round(tokens.shape[1] ** 0.5), self.encoder.config.patch_size
        context = F.pixel_shuffle(tokens.mT.unflatten(2, (side, side)), patch)
        context = context[..., : low.shape[-2], : low.shape[-1]]
        features = self.first(torch.cat([x, self.stretch(low)], 1))
        features = features + self.join(torch.cat([features, context], 1))
        for block in self.trunk:
            features = features + block(features)
        correction = F.pixel_shuffle(self.last(features), self.factor)
        return (bicubic(x, self.factor) + correction) * self.scale

    def loss(self, batch: Batch) -> Tensor:
        # Squares, not moduli: the median of clipped noise is 0, and the flux would be lost with it.
        return F.mse_loss(self.predict_batch(batch) / self.scale, batch.image / self.scale)

    def validation_score(self, batch: Batch) -> Tensor:
        return self.loss(batch)

    def measure(
        self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]
    ) -> dict[str, Any]:
        truth, low = data.image[rows], self.inputs(data)[rows]
        scale = self.scale.item()
        metrics = superres_metrics(predictions.numpy() / scale, truth / scale)
        baseline = superres_metrics(self._plain(low) / scale, truth / scale)
        return metrics | {f"bicubic_{name}": value for name, value in baseline.items()}

    def draw(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        metrics: dict[str, Any],
        folder: Path,
    ) -> None:
        truth, low, path = data.image[rows], self.inputs(data)[rows], folder / "triptych.png"
        predicted = predictions.numpy()
        draw_triptychs(path, low, self._plain(low), predicted, truth, data.attrs, metrics)

    def _plain(self, low: NDArray[np.float32]) -> NDArray[np.float32]:
        """The bicubic images (N, 1, H, W), in flux per high-resolution pixel."""
        fine: NDArray[np.float32] = bicubic(
            torch.from_numpy(low) * self.gain.item(), self.factor
        ).numpy()
        return fine


def bicubic(image: Tensor, factor: int) -> Tensor:
    """Bicubic interpolation to a grid finer by ``factor``, of images (B, 1, h, w)."""
    return F.interpolate(image, scale_factor=factor, mode="bicubic", align_corners=False)


def superres_metrics(
    predicted: NDArray[np.floating], truth: NDArray[np.floating]
) -> dict[str, float]:
    """Means over images (N, 1, H, W) whose fluxes are in units of the peak of the data set.

    Returns:
        ``mse``, ``psnr`` in dB and ``ssim``, the two latter for a data range of 1.
    """
    mse = ((predicted - truth).astype(np.float64) ** 2).mean((1, 2, 3))
    ssim = [
        structural_similarity(a, b, data_range=1.0)
        for a, b in zip(predicted[:, 0], truth[:, 0], strict=True)
    ]
    psnr = -10 * np.log10(np.maximum(mse, 1e-20))
    return {"mse": float(mse.mean()), "psnr": float(psnr.mean()), "ssim": float(np.mean(ssim))}
