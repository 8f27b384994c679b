"""Pretrain an encoder on images without labels, and watch what it learns."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from learn.checks import check_pretraining_data
from learn.config import PretrainConfig
from learn.data import BatchIndices, InMemory, Stretch, loader, training_batches
from learn.inference.encoder_input import describe_input
from learn.lens_fits.lens_fitting import median_exposure
from learn.lens_fits.report import write_fit_report
from learn.lens_fits.store import fits_for
from learn.methods import method_class
from learn.methods.base import Method
from learn.networks.encoder_files import describe_encoder, save_encoder
from learn.networks.size import check_batch
from learn.networks.trial import check_network
from learn.reporting.figures.training import draw_curves
from learn.run_files import CURVES, DESCRIPTION, read_curves
from learn.runs import run_folder
from learn.splits import PART, published_parts
from learn.training.limits import check_limits
from learn.training.loop import resolve, train
from learn.training.monitor import Monitor, last_measured
from learn.training.processes import process_rank
from learn.views.middle import bin_middle
from lensphys.ground.config import validate
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.dataset.padding import mark_padding
from simulate.importers.framing import find_patch

#: The least part of the patches of an image that a method shows its encoder.
_SEEN = 0.1


def pretrain(config: PretrainConfig) -> tuple[Path, bool]:
    """Pretrain an encoder.

    Returns:
        The folder of the run, and whether there was anything left to do.

    Raises:
        InputError: for bad input.
    """
    check_limits(config)
    config = resolve(config)
    method = method_class(config.method)
    method.check(config, validate(method.Params, config.params, "params"))
    data = _read_data(config)
    follows = config.published_split and PART in data.params
    config = config.model_copy(update={"published_split": follows})
    watched, trained = _hold_out(config, len(data))
    batches = training_batches(trained, config, whole=True)
    if batches.share_size < method.smallest_batch:
        raise InputError(
            f"{config.method} compares the images of a batch and needs {method.smallest_batch} of "
            f"them on every device, not {batches.share_size}; raise optimizer.batch_size"
        )
    if config.device == "cpu":
        check_batch("encoder", config.encoder, batches.share_size, _SEEN)
    side, factor = config.encoder.image_size, config.binning or 1
    seen = bin_middle(torch.from_numpy(mark_padding(data, trained)), side, factor)
    stretch = Stretch.of_images(seen, config.stretch)
    steps = config.optimizer.epochs * (len(batches) // config.optimizer.accumulate)
    build = partial(method, _set_batch_size(config, batches), stretch, steps)
    what = f"the encoder and the other networks of {config.method}"
    check_network(build, what, "make the sizes in params smaller")
    with run_folder(config, config.method, DESCRIPTION, data.digest) as (folder, finished):
        if finished:
            return folder, False
        pl.seed_everything(config.seed, verbose=False)
        draws = method.draws(validate(method.Params, config.params, "params"))
        fits = fits_for(config.encoder, data, device=config.device, draws=draws)
        if fits is not None and process_rank(config) == 0:
            write_fit_report(data, fits, folder)
        memory = InMemory(data, fits=fits)
        module = build()
        blind = module.blind_losses(batches.batch_size)
        callbacks: tuple[Monitor, ...] = ()
        if config.monitor:
            image = bin_middle(memory[torch.from_numpy(watched)].stack, side, factor)
            callbacks = (Monitor(config.monitor, image, data.label[watched], blind),)
        train(module, config, folder, loader(memory, batches), callbacks=callbacks)
        if process_rank(config) == 0:
            _leave_encoder(module, data, trained, blind, folder)
    return folder, True


def _read_data(config: PretrainConfig) -> shards.DataSet:
    """The images to pretrain on.

    Raises:
        InputError: if there are none, or the encoder is not made for them.
    """
    check_pretraining_data(config)
    assert config.data is not None
    data = shards.read(config.data, config.classes)
    if config.published_split and (parts := published_parts(data)):
        data = data.rows(parts["train"])  # an encoder is not tested on what it was pretrained on
    channels, ny, nx = data.image.shape[1:]
    if channels != 1:
        raise InputError(f"{config.data} has images of {channels} channels, the encoder takes 1")
    if ny != nx:
        raise InputError(f"{config.data} has images of {ny} x {nx} pixels; they must be square")
    _check_size(config, data)
    return data


def _check_size(config: PretrainConfig, data: shards.DataSet) -> None:
    """Refuse images of so many pixels on a side, if the encoder is not made for them.

    Raises:
        InputError: with the settings that serve.
    """
    size, side, factor = data.image.shape[-1], config.encoder.image_size, config.binning
    if factor is None and size != side:
        ways = "; or ".join(_list_ways(config, data, size))
        raise InputError(
            f"{config.data} has images of {size} pixels, the encoder is for {side}: {ways}"
        )
    if factor is not None and size < side * factor:
        most = size // side
        binning = f"--set binning={most} serves" if most else "use a smaller encoder.image_size"
        raise InputError(
            f"binning = {factor} needs images of {side * factor} pixels for an encoder of {side}, "
            f"and those of {config.data} have {size}: {binning}"
        )


def _list_ways(config: PretrainConfig, data: shards.DataSet, size: int) -> Iterator[str]:
    """Settings with which an encoder takes images of so many pixels on a side."""
    side, patch = config.encoder.image_size, config.encoder.patch_size
    if size > side:
        yield f"--set binning={size // side} for their middle"
    width = patch if size % patch == 0 else find_patch(size)
    if width is not None:
        patches = "" if width == patch else f" --set encoder.patch_size={width}"
        yield f"--set encoder.image_size={size}{patches}"
    elif size >= patch and size < side:
        yield f"--set encoder.image_size={size // patch * patch} --set binning=1 for their middle"
    factor = data.config.get("pairs")  # of imported images: pairs are cropped alone
    if data.config.get("command") == "import" and (
        not factor or (side < size and side % factor == 0)
    ):
        out = shlex.quote(f"{config.data}-{side}")
        done = "crops" if factor else "crops or pads"
        yield f"repeat the import with --size {side} --out {out}, which {done} them"
    elif width is None and size < patch:
        yield "make a data set of larger images"


def _set_batch_size(config: PretrainConfig, batches: BatchIndices) -> PretrainConfig:
    """The configuration with the batch that there is, which few images make smaller."""
    size = batches.batch_size * config.optimizer.accumulate
    optimizer = config.optimizer.model_copy(update={"batch_size": size})
    return config.model_copy(update={"optimizer": optimizer})


def _hold_out(config: PretrainConfig, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the images that are watched, and of those that are trained on.

    The same for every seed and method, so that their probes compare.
    """
    watched = config.monitor.held_out(count) if config.monitor else 0
    order = np.random.default_rng(0).permutation(count)
    return order[:watched], np.sort(order[watched:])


def _leave_encoder(
    module: Method,
    data: shards.DataSet,
    trained: NDArray[np.int64],
    blind: dict[str, float],
    folder: Path,
) -> None:
    """Draw the curves and write the encoder, with what it came from."""
    config = module.config
    draw_curves(folder, title=f"{config.method} on {config.data}")
    watched = last_measured(read_curves(folder / CURVES), blind)
    save_encoder(
        module.exported,
        folder,
        describe_encoder(config, data.attrs, module.exported)
        | describe_input(module.stretch, median_exposure(data, trained), data)
        | {
            "images": len(trained),
            "binning": config.binning,
            "epochs": config.optimizer.epochs,
            "views_per_image": module.views_per_image,
            "lr": config.optimizer.lr,  # at the batch that there was
            "monitor": watched,
        },
    )
