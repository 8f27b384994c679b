"""Batches and the stretch of fluxes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learn.config import StretchConfig
from learn.data import Batch, BatchIndices, InMemory, Stretch, loader, noise_level, training_batches
from lensphys.ground.errors import InputError
from simulate import shards


def test_batches_hold_every_image_once_in_an_order_of_seed_and_epoch(model2: Path) -> None:
    data = shards.read(model2)
    memory = InMemory(data)

    def labels_of(seed: int, epoch: int) -> list[torch.Tensor]:
        indices = BatchIndices(np.arange(len(data)), 16, shuffle=True, seed=seed)
        batches = loader(memory, indices)
        assert isinstance(batches.sampler, BatchIndices)
        batches.sampler.set_epoch(epoch)
        return [batch.image.sum((1, 2, 3)) for batch in batches]

    first, again, next_epoch = labels_of(0, 0), labels_of(0, 0), labels_of(0, 1)
    assert [len(batch) for batch in first] == [16, 16, 16, 12]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], next_epoch[0])
    torch.testing.assert_close(torch.cat(first).sort()[0], torch.cat(next_epoch).sort()[0])


def test_processes_share_every_batch_equally() -> None:
    whole = list(BatchIndices(np.arange(50), 12, shuffle=True, whole=True))
    shares = [
        list(BatchIndices(np.arange(50), 12, shuffle=True, rank=rank, processes=3))
        for rank in range(3)
    ]
    assert [len(batch) for batch in whole] == [12] * 4, "no batch that is not full"
    steps = BatchIndices(np.arange(50), 12, shuffle=True, whole=True, accumulate=3)
    assert len(list(steps)) == len(steps) == 3, "no step that is not full"
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [len(part) for part in parts] == [4] * 3
        assert torch.equal(torch.cat(parts).sort()[0], batch.sort()[0])


@pytest.mark.parametrize("kind", ["asinh", "linear"])
def test_stretched_images_have_zero_mean_and_unit_variance(kind: str) -> None:
    images = torch.rand(50, 1, 16, 16) ** 8 * 300
    stretched = Stretch.of_images(images, StretchConfig(kind=kind, floor=1e-3))(images)
    assert abs(stretched.mean()) < 1e-5
    assert abs(stretched.std() - 1) < 1e-4


def test_the_softening_is_the_noise_level_where_there_is_noise() -> None:
    images = 0.5 * torch.randn(100, 1, 32, 32)
    images[:, :, 16, 16] = 100
    assert noise_level(images) == pytest.approx(0.5, rel=0.03)
    softening = Stretch.of_images(images, StretchConfig(kind="asinh", floor=1e-4)).softening
    assert softening == pytest.approx(0.5, rel=0.03)
    images[images < 50] = 0
    softening = Stretch.of_images(images, StretchConfig(kind="asinh", floor=1e-4)).softening
    assert softening == pytest.approx(0.01)


def test_dark_images_are_refused() -> None:
    with pytest.raises(InputError, match="dark"):
        Stretch.of_images(torch.zeros(4, 1, 8, 8), StretchConfig(kind="asinh", floor=1e-3))


@pytest.mark.parametrize("kind", ["asinh", "linear"])
def test_a_stretch_is_undone(kind: str) -> None:
    images = 10 * torch.rand(20, 1, 8, 8)
    stretch = Stretch.of_images(images, StretchConfig(kind=kind, floor=1e-2))
    torch.testing.assert_close(stretch.undo(stretch(images)), images, rtol=1e-4, atol=1e-4)


def test_channels_behind_the_flux_are_not_stretched(random_fits: Any) -> None:
    fits = dataclasses.replace(random_fits(4), channels=torch.rand(4, 6, 8, 8))
    batch = Batch(torch.rand(4, 1, 8, 8), torch.zeros(4), None, fits=fits)
    assert batch.stack.shape == (4, 7, 8, 8)
    stretch = Stretch.of_images(batch.image, StretchConfig(kind="asinh", floor=1e-2))
    stretched = stretch(batch.stack)
    assert torch.equal(stretched[:, 1:], fits.channels)
    assert torch.equal(stretched[:, :1], stretch(batch.image))
    assert torch.equal(batch._replace(fits=None).stack, batch.image)


def test_batches_carry_columns_and_fits_where_asked_for(model2: Path, random_fits: Any) -> None:
    data, rows = shards.read(model2), torch.tensor([7, 2])
    plain = InMemory(data)[rows]
    assert (plain.params, plain.fits, plain.image_lr, plain.channels) == (None, None, None, None)
    fits = random_fits(len(data))
    batch = InMemory(data, with_params=True, fits=fits)[rows]
    assert batch.params is not None
    assert batch.fits is not None
    for name, values in data.params.items():
        np.testing.assert_array_equal(batch.params[name], values[[7, 2]])
    assert torch.equal(batch.fits.values, fits.values[rows])
    assert torch.equal(batch.label, torch.from_numpy(data.label)[rows])


def test_a_batch_is_that_of_the_images_that_there_are(pretrain_config: Any) -> None:
    indices = np.arange(50)
    few = training_batches(indices, pretrain_config("mae", ("optimizer.batch_size=64",)))
    assert few.batch_size == 64
    assert [len(batch) for batch in few] == [50]
    whole = ("optimizer.batch_size=64", "optimizer.accumulate=4")
    parts = training_batches(indices, pretrain_config("mae", whole), whole=True)
    assert parts.batch_size == 12, "48 images in four parts"
    with pytest.raises(InputError, match="not a multiple of devices x nodes x accumulate = 3"):
        training_batches(indices, pretrain_config("mae", ("optimizer.accumulate=3",)))
    with pytest.raises(InputError, match="do not make a batch"):
        training_batches(np.arange(2), pretrain_config("mae", whole), whole=True)


def test_padding_does_not_count_in_the_stretch() -> None:
    images = 0.5 * torch.randn(50, 1, 32, 32)
    images[:, :, 16, 16] = 100
    padded = torch.nn.functional.pad(images, (16, 16, 16, 16), value=torch.nan)
    config = StretchConfig(kind="asinh", floor=1e-4)
    alone, found = Stretch.of_images(images, config), Stretch.of_images(padded, config)
    for name, value in alone.named_buffers():
        torch.testing.assert_close(getattr(found, name), value, rtol=1e-6, atol=0.0)
