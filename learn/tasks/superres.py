"""Super-resolution: the image of a finer telescope from that of a coarser one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.nn import functional as F

from learn.config import EncoderConfig, FinetuneConfig
from learn.data import Batch
from learn.data_description import DataDescription
from learn.lens_fits.lens_fits import LensFits
from learn.networks.encoder import Encoder
from learn.networks.encoder_files import Backbone
from learn.networks.rcan import RCAN, Rcan, RcanConfig, RcanSizes
from learn.networks.size import VIT
from learn.reporting.figures.superres import draw_triptychs
from learn.reporting.tasks.superres import REPORT
from learn.tasks.base import Task
from learn.tasks.data_needs import SUPERRES
from learn.tasks.intervals import Measures
from lensphys.ground.config import Strict, validate
from lensphys.ground.errors import InputError
from simulate.dataset.noise_free import render_noise_free
from simulate.dataset.photometry import Photometry
from simulate.importers.units import is_surface_brightness
from simulate.shards import DataSet

#: Images that are rendered at once.
_BLOCK = 128


class SuperResolve(Task):
    """Corrects the bicubic image with local convolutions and a view of the whole.

    Layers work at low resolution; the encoder's tokens are spread back over their patches, or the
    maps of an RCAN taken as they are, and join them; pixels are shuffled to high resolution at the
    end (Shi et al. 2016, arXiv:1609.05158). The last layer starts at zero, so that training starts
    from bicubic.

    The total flux of an image is that of its low-resolution image, exactly: without noise both
    telescopes collect the same light, the bicubic image has the total of its pixels, and the mean
    of every correction is taken off. Parts of an image do not keep theirs: the two PSFs
    differ, so that light crosses the edge of every coarse pixel, and noise of one image is not in
    the other. If counts are clipped at zero (Model 1 as published), the sky of the
    high-resolution image holds more flux, which no light has brought: it is left out.

    If a lens was fitted to each low-resolution image, it is rendered at high resolution too. Its
    difference from the bicubic image of itself is added, and training starts from there.
    """

    report = REPORT
    data_needs = SUPERRES
    backbones = (Encoder, Rcan)
    column = "image_lr"
    makes_images = True

    scale: Tensor
    gain: Tensor
    encoder: Encoder | Rcan

    class Params(Strict):
        """Parameters of the task."""

        width: int = Field(gt=0, description="channels of the convolutions")
        blocks: int = Field(gt=0, description="residual blocks")
        rcan: RcanSizes = Field(description="the network that --backbone rcan names")
        renders_fit: bool = Field(
            False, description="start from the fitted lens, at high resolution"
        )

    @classmethod
    def make_backbone(cls, config: FinetuneConfig, image_size: int) -> Backbone:
        if config.backbone == RCAN:
            sizes = validate(cls.Params, config.params, "params").rcan
            return Rcan(RcanConfig(**sizes.model_dump()))
        if config.backbone != VIT:
            raise InputError(
                f"{config.task} needs tokens or maps of an image: --backbone {VIT} or {RCAN}, not "
                f"{config.backbone}"
            )
        return super().make_backbone(config, image_size)

    @classmethod
    def inputs(cls, data: DataSet) -> NDArray[np.float32]:
        if data.image_lr is None:
            raise InputError(
                f"{data.path} has no low-resolution images; make pairs with "
                f"`{cls.data_needs.command}`"
            )
        high, low = data.image.shape[-1], data.image_lr.shape[-1]
        if high % low:
            raise InputError(f"{data.path}: {high} pixels are not a multiple of {low}")
        return data.image_lr

    @classmethod
    def must_match(cls, data: DataDescription) -> dict[str, Any]:
        return super().must_match(data) | {"pixel_scale_lr": data.attrs["pixel_scale_lr"]}

    def build_head(self, params: Params, data: DataDescription) -> None:
        self.factor = data.side("image") // data.side(self.column)
        for name in ("scale", "gain"):
            self.register_buffer(name, torch.tensor(1.0))
        if isinstance(self.encoder, Rcan):
            width, joined, blocks = self.encoder.width, self.encoder.width, 0
            self.spread: nn.Module = nn.Identity()
        else:
            width, joined, blocks = params.width, params.width // 4, params.blocks
            self.spread = _Spread(self.encoder.config, joined)
        self.renders_fit = params.renders_fit and self.lens_fitting is not None
        inputs = 2 + (self.factor**2 if self.renders_fit else 0)
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.join = nn.Conv2d(width + joined, width, 1)
        self.trunk = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(width, self.factor**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def learn_data(self, data: DataSet, train: NDArray[np.int64]) -> None:
        super().learn_data(data, train)
        high, low = data.image[train], self.inputs(data)[train]
        # The peak flux: networks want numbers about one, and the output must stay linear in flux.
        self.scale.fill_(float(np.quantile(high.max((1, 2, 3)), 0.99)))
        self.gain.fill_(find_gain(high, low, data.attrs.get("unit")))

    def of_surface_brightness(self, data: DataDescription) -> bool:
        return self.factor > 1 and self.gain.item() == 1.0

    def predict_batch(self, batch: Batch) -> Tensor:
        """High-resolution flux (B, 1, H, W)."""
        low = batch.image_lr
        assert low is not None
        x, stretched = low * self.gain / self.scale, self.stretch(low)
        context = self.spread(self.encoder(self.encoder_input(batch)))
        context = context[..., : low.shape[-2], : low.shape[-1]]
        parts = [x, stretched]
        if self.renders_fit:
            assert batch.fits is not None
            assert batch.fits.detail is not None
            detail = (batch.fits.detail * self.gain / self.scale).to(x.dtype)
            parts.append(F.pixel_unshuffle(detail, self.factor))
        features = self.first(torch.cat(parts, 1))
        features = features + self.join(torch.cat([features, context], 1))
        for block in self.trunk:
            features = features + block(features)
        correction = F.pixel_shuffle(self.last(features), self.factor).to(x.dtype)
        if self.renders_fit:
            correction = _room(batch.fits).to(x.dtype) * correction + detail
        correction = correction - correction.mean((-2, -1), keepdim=True)
        return (bicubic(x, self.factor) + correction) * self.scale

    def add_detail(
        self, fits: LensFits, shape: tuple[int, int], photometry: Callable[[str], Photometry]
    ) -> LensFits:
        if not self.renders_fit:
            return fits
        low, high = photometry(self.column), photometry("image")
        detail = render_detail(fits, shape, low, high, self.factor)
        return dataclasses.replace(fits, detail=detail)

    def loss(self, batch: Batch) -> Tensor:
        # Squares, not moduli: the median of clipped noise is 0, and the flux would be lost with it.
        return F.mse_loss(self.predict_batch(batch) / self.scale, batch.image / self.scale)

    def validation_score(self, batch: Batch) -> Tensor:
        return self.loss(batch)

    def measure(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        fits: LensFits | None = None,
    ) -> dict[str, Any]:
        """Metrics, also against noise-free targets (``clean_``) where scenes can be drawn again.

        PSNR comes by class too: a smooth lens is made again to the last digits, and its decibels
        hide what happens to the others in a mean.
        """
        images = {"": predictions.numpy(), "bicubic_": self._plain(self.inputs(data)[rows])}
        truths = {"": data.image[rows]} | _clean(data, rows)
        scale, label = self.scale.item(), data.label[rows]
        metrics: dict[str, Any] = {}
        for baseline, image in images.items():
            for against, truth in truths.items():
                each = image_metrics(image / scale, truth / scale)
                found: dict[str, Any] = _means(each)
                found["class_psnr"] = {
                    name: float(each["psnr"][label == i].mean())
                    for i, name in enumerate(data.label_names)
                    if (label == i).any()
                }
                which = f"{baseline}{against}"
                metrics |= {f"{which}{name}": value for name, value in found.items()}
        if self.renders_fit and fits is not None:
            metrics |= self._measure_fits(fits, data, rows)
        return metrics

    def parts(self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]) -> Measures:
        scale = self.scale.item()
        each = image_metrics(predictions.numpy() / scale, data.image[rows] / scale)
        return lambda take: {name: float(values[take].mean()) for name, values in each.items()}

    def _measure_fits(
        self, fits: LensFits, data: DataSet, rows: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Metrics of the bicubic images with the detail of the fitted lenses, and no network."""
        assert fits.detail is not None
        detail = (fits.detail * self.gain.cpu()).numpy()
        detail -= detail.mean((-2, -1), keepdims=True)
        scale = self.scale.item()
        image = (self._plain(self.inputs(data)[rows]) + detail) / scale
        found = superres_metrics(image, data.image[rows] / scale)
        return {f"fit_{name}": value for name, value in found.items()}

    def draw(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        metrics: dict[str, Any],
        folder: Path,
        fits: LensFits | None = None,
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


class _Spread(nn.Module):
    """Maps (B, width, h, w) at the resolution of the image, from tokens (B, n, D) of its patches.

    Where the image was padded to whole patches, so are the maps.
    """

    def __init__(self, config: EncoderConfig, width: int) -> None:
        super().__init__()
        self.patch = config.patch_size
        self.pixels = nn.Sequential(nn.Linear(config.embed_dim, width * self.patch**2), nn.GELU())

    def forward(self, tokens: Tensor) -> Tensor:
        side = round(tokens.shape[1] ** 0.5)
        maps = self.pixels(tokens).mT.unflatten(2, (side, side))
        return F.pixel_shuffle(maps, self.patch)


def _room(fits: LensFits | None) -> Tensor:
    """Factor on what a network adds to the fits of a batch, (B, 1, 1, 1).

    A lens that explains an image to a fraction of its noise, as in images without noise, is right
    to that fraction at high resolution too, so the network adds as little.
    """
    assert fits is not None
    room = torch.where(fits.converged, fits.chi2_dof.clamp(max=1.0).sqrt(), 1.0)
    return room[:, None, None, None]


@torch.no_grad()
def render_detail(
    fits: LensFits, shape: tuple[int, int], low: Photometry, high: Photometry, factor: int
) -> Tensor:
    """Render fitted lenses at high resolution, less the bicubic images of themselves.

    Args:
        fits: of N images at low resolution.
        shape: theirs, in pixels.
        low, high: their photometry, and that of the same fields at high resolution.
        factor: pixels of high resolution along a side of one of low resolution.

    Returns:
        (N, 1, H, W) in units of the low-resolution image, and per area of one of its pixels; 0
        where a fit has not converged.
    """
    fits = fits.without_channels()
    scene, parts = fits.scene, []
    fine_shape = (factor * shape[0], factor * shape[1])
    for start in range(0, len(fits), _BLOCK):
        rows = slice(start, start + _BLOCK)
        some = fits.rows(rows)
        like = some.chi2_dof
        coarse = scene.image(some.params, low.pixels(shape, like)) / _rate(low, rows, like)
        fine = scene.image(some.params, high.pixels(fine_shape, like)) / _rate(high, rows, like)
        detail = factor**2 * fine[:, None] - bicubic(coarse[:, None], factor)
        known = some.converged & detail.isfinite().flatten(1).all(1)
        parts.append(torch.where(known[:, None, None, None], detail, 0.0))
    return torch.cat(parts)


def _rate(photometry: Photometry, rows: slice, like: Tensor) -> Tensor:
    """e-/s in one unit of the images, (n, 1, 1)."""
    return torch.from_numpy(photometry.rate[rows]).to(like)[:, None, None]


def _clean(data: DataSet, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """The noise-free targets, or nothing where they are not known."""
    try:
        return {"clean_": render_noise_free(data, rows)}
    except InputError:
        return {}


def find_gain(high: NDArray[np.float32], low: NDArray[np.float32], unit: str | None) -> float:
    """Factor that brings low-resolution pixels to the scale of high-resolution ones.

    Pixels hold flux, and a fine pixel its share of that of a coarse one; or surface brightness,
    which is the same in both. The unit decides; see :func:`flux_gain` for unknown ones.
    """
    brightness = is_surface_brightness(unit)
    if brightness is None:
        return flux_gain(high, low)
    return 1.0 if brightness else _share(high, low)


def flux_gain(high: NDArray[np.float32], low: NDArray[np.float32]) -> float:
    """The factor of :func:`find_gain` by the mean of the images.

    The nearer of the two is taken and not what was measured: noise that is clipped at zero leaves
    more sky in small pixels than in large ones, and would count as light of the lens.
    """
    share = _share(high, low)
    ratio = float(high.mean(dtype=np.float64) / low.mean(dtype=np.float64))
    return share if ratio < share**0.5 else 1.0


def _share(high: NDArray[np.float32], low: NDArray[np.float32]) -> float:
    """The part of the area of a coarse pixel that a fine one has."""
    return float(low.shape[-1] / high.shape[-1]) ** 2


def bicubic(image: Tensor, factor: int) -> Tensor:
    """Bicubic interpolation to a grid finer by ``factor``, of images (B, 1, h, w).

    The mean of an image is kept: beyond its edges it goes on as in a mirror, as far as the kernel
    reaches.
    """
    for axis in (-2, -1):
        size = image.shape[axis]
        edges = [image.narrow(axis, start, 2).flip(axis) for start in (0, size - 2)]
        image = torch.cat([edges[0], image, edges[1]], axis)
    fine = F.interpolate(image, scale_factor=factor, mode="bicubic", align_corners=False)
    return fine[..., 2 * factor : -2 * factor, 2 * factor : -2 * factor]


def superres_metrics(
    predicted: NDArray[np.floating], truth: NDArray[np.floating]
) -> dict[str, float]:
    """Means over images of :func:`image_metrics`."""
    return _means(image_metrics(predicted, truth))


def image_metrics(
    predicted: NDArray[np.floating], truth: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """Metrics of each image (N, 1, H, W); fluxes are in units of the peak of the data set.

    Returns:
        (N,) ``mse``, ``psnr`` in dB (at most 200) and ``ssim``, the two latter for a data range of
        1.
    """
    mse = ((predicted - truth).astype(np.float64) ** 2).mean((1, 2, 3))
    ssim = [
        structural_similarity(a, b, data_range=1.0)
        for a, b in zip(predicted[:, 0], truth[:, 0], strict=True)
    ]
    return {"mse": mse, "psnr": -10 * np.log10(np.maximum(mse, 1e-20)), "ssim": np.array(ssim)}


def _means(each: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in each.items()}
