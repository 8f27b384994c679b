"""A data set in memory, served in batches without a Python loop over images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from learn.config import StretchConfig, TrainingConfig
from learn.lens_fits.channels import stack_channels
from learn.lens_fits.lens_fits import LensFits
from learn.training.processes import process_rank
from lensphys.ground.errors import InputError
from simulate.dataset.padding import read_padding
from simulate.shards import DataSet


class Batch(NamedTuple):
    """Images with all that belongs to them, from the data to a method or task."""

    image: Tensor
    """(B, 1, H, W) flux"""
    label: Tensor
    """(B,) class"""
    image_lr: Tensor | None
    """(B, 1, h, w) flux at lower resolution, where the data set has pairs"""
    params: dict[str, Tensor] | None = None
    """(B,) columns of the data set, for tasks that learn them; NaN where one does not apply"""
    fits: LensFits | None = None
    """lens fits of the images, where the encoder sees them"""
    padding: Tensor | None = None
    """(B, 4) around the images, see :func:`simulate.dataset.padding.read_padding`; None where no
    image of the data set has any"""

    @property
    def channels(self) -> Tensor | None:
        """(B, 10, H, W) channels of the lens fits, where the encoder sees them."""
        channels = None if self.fits is None else self.fits.channels
        assert channels is None or isinstance(channels, Tensor)
        return channels

    @property
    def stack(self) -> Tensor:
        """The images, with the channels of their lens fits where they have them."""
        return stack_channels(self.image, self.channels)


class Stretch(nn.Module):
    """Turns fluxes into network inputs of zero mean and unit variance.

    ``(asinh(x / softening) - mean) / std``: linear in the noise, logarithmic in the light; the
    softening is the noise level of the images, or a small part of their peak where they have no
    noise. The constants come from the images that a network is trained on, since two instruments
    have two scales of flux; they are saved with its weights.
    """

    softening: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        for name, neutral in (("softening", 1.0), ("mean", 0.0), ("std", 1.0)):
            self.register_buffer(name, torch.tensor(neutral))

    @classmethod
    def of_images(cls, images: Tensor, config: StretchConfig) -> Stretch:
        """The stretch for images (N, 1, H, W), of which NaN pixels, as in padding, do not count.

        Raises:
            InputError: for images that are all dark.
        """
        stretch = cls(config.kind)
        sample = images[:: max(1, len(images) // 2000)]
        peak = sample.nan_to_num(-torch.inf).flatten(1).amax(1).median()
        if not peak > 0:
            raise InputError("the images are dark: more than half of them have no positive pixel")
        if config.kind == "asinh":
            stretch.softening.copy_(torch.maximum(noise_level(sample), config.floor * peak))
        else:
            stretch.softening.copy_(peak)
        sample = stretch(sample)
        padding = sample.isnan()
        if padding.any():
            sample = sample[~padding]
        stretch.mean.copy_(sample.double().mean())
        stretch.std.copy_(sample.double().std().clamp_min(1e-12))
        return stretch

    def forward(self, flux: Tensor) -> Tensor:
        """Stretched images of the same shape; channels after the first stay what they are."""
        x = flux[:, :1] / self.softening
        x = ((torch.asinh(x) if self.kind == "asinh" else x) - self.mean) / self.std
        return x if flux.shape[1] == 1 else torch.cat([x, flux[:, 1:]], 1)

    def undo(self, stretched: Tensor) -> Tensor:
        """The flux (B, 1, H, W) behind the first channel of stretched images."""
        x = stretched[:, :1] * self.std + self.mean
        return (torch.sinh(x) if self.kind == "asinh" else x) * self.softening


def noise_level(images: Tensor) -> Tensor:
    """Standard deviation of the noise in images (N, 1, H, W), from differences of neighbours.

    The median of their moduli sees the sky, which fills most of a cutout, and not the lens. Pixels
    that are NaN do not count.
    """
    difference = (images[..., 1:] - images[..., :-1]).abs()
    return difference.flatten(1).nanmedian(1).values.nanmedian() * 1.4826 / 2**0.5


class InMemory(Dataset[Batch]):
    """Whole batches by index: one gather a batch instead of one Python call an image.

    Args:
        data: the images.
        with_params: batches carry the columns of the data set too.
        fits: of the images, which batches carry too; channels that lie in files stay there until a
            batch needs them.
    """

    def __init__(
        self,
        data: DataSet,
        *,
        with_params: bool = False,
        fits: LensFits | None = None,
    ) -> None:
        self._image = torch.from_numpy(data.image)
        self._label = torch.from_numpy(data.label)
        self._image_lr = None if data.image_lr is None else torch.from_numpy(data.image_lr)
        columns = {name: torch.from_numpy(values) for name, values in data.params.items()}
        self._params = columns if with_params else None
        padding = read_padding(data.params)
        self._padding = None if padding is None else torch.from_numpy(padding)
        self.fits = fits

    def __getitem__(self, indices: Tensor) -> Batch:
        low = None if self._image_lr is None else self._image_lr[indices]
        columns = self._params
        params = columns and {name: values[indices] for name, values in columns.items()}
        fits = None if self.fits is None else self.fits.rows(indices)
        padding = None if self._padding is None else self._padding[indices]
        return Batch(self._image[indices], self._label[indices], low, params, fits, padding)

    def __len__(self) -> int:
        return len(self._label)


class BatchIndices(Sampler[Tensor]):
    """Indices of the batches of an epoch, shuffled by seed and epoch alone.

    A resumed run sees the batches that an undisturbed one would have seen. Among several processes
    every batch is dealt out in equal shares.

    Args:
        indices: of the images.
        batch_size: of all processes together.
        shuffle: anew in every epoch.
        seed: of the shuffle.
        whole: leave out the images of a last step that is not full, others in every epoch.
        accumulate: batches to a step of the optimiser.
        rank: number of this process.
        processes: their number. Several take whole batches only.
    """

    def __init__(
        self,
        indices: NDArray[np.int64],
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        whole: bool = False,
        accumulate: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._indices = torch.from_numpy(np.asarray(indices))
        self.batch_size = batch_size
        self._shuffle, self._seed = shuffle, seed
        self.share_size = batch_size // processes
        self._share = slice(rank, None, processes)
        self._whole, self._accumulate = whole or processes > 1, accumulate
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration shuffles for; called by Lightning."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        order = self._indices
        if self._shuffle:
            rng = np.random.default_rng([self._seed, self.epoch])
            order = order[torch.from_numpy(rng.permutation(len(order)))]
        for batch in order.split(self.batch_size)[: len(self)]:
            yield batch[self._share]

    def __len__(self) -> int:
        full, left = divmod(len(self._indices), self.batch_size)
        if self._whole:
            return full - full % self._accumulate
        return full + 1 if left else full


def loader(data: InMemory, batches: BatchIndices) -> DataLoader[Batch]:
    """The batches with these indices."""
    return DataLoader(data, sampler=batches, batch_size=None, pin_memory=torch.cuda.is_available())


def training_batches(
    indices: NDArray[np.int64], config: TrainingConfig, *, whole: bool = False
) -> BatchIndices:
    """The batches of this process: of the parts that a step of the optimiser accumulates.

    Raises:
        InputError: for a batch that cannot be dealt out in equal parts.
    """
    size, shares = config.optimizer.batch_size, config.processes * config.optimizer.accumulate
    if size % shares:
        raise InputError(
            f"optimizer.batch_size = {size} is not a multiple of devices x nodes x accumulate = "
            f"{shares}; choose one that is"
        )
    size = min(size, len(indices) - len(indices) % shares) if whole or shares > 1 else size
    if not size:
        raise InputError(
            f"{len(indices)} images do not make a batch on {shares} devices and accumulated parts"
        )
    return BatchIndices(
        indices,
        size // config.optimizer.accumulate,
        shuffle=True,
        seed=config.seed,
        whole=whole,
        accumulate=config.optimizer.accumulate,
        rank=process_rank(config),
        processes=config.processes,
    )
