"""The training loop: pytorch-lightning, with checkpoints that resume and curves on disk."""

from __future__ import annotations

import csv
import logging
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from learn.backbone import count_parameters, save_encoder
from learn.config import PretrainConfig, TrainingConfig
from learn.data import Batch, InMemory, Stretch, loader
from learn.methods import method_class
from learn.runs import run_folder
from simulate import shards
from simulate.errors import InputError

ConfigT = TypeVar("ConfigT", bound=TrainingConfig)
LAST = "last.ckpt"


class Curves(Callback):
    """Appends the metrics of every epoch to ``metrics.csv``; a resumed run goes on in it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.csv"

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        row: dict[str, Any] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row |= {name: value.item() for name, value in sorted(trainer.callback_metrics.items())}
        row.pop("loss", None)
        rows = [old for old in read_curves(self._path) if int(old["epoch"]) < row["epoch"]]
        with shards.replacing(self._path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows([*rows, row])


class Progress(TQDMProgressBar):
    """A bar with rate and time left; on a terminal live, in a log file a line now and then."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1 if sys.stderr.isatty() else 100)

    def get_metrics(
        self, trainer: pl.Trainer, module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics: dict[str, int | str | float | dict[str, float]] = super().get_metrics(
            trainer, module
        )
        metrics.pop("v_num", None)
        return metrics


class SeedEveryStep(Callback):
    """Restarts the random numbers of masks and views from seed and step.

    A run that is resumed then draws what an undisturbed one would have drawn.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        torch.manual_seed(self._seed * 2**31 + trainer.global_step)


def read_curves(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``, none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def resolve(config: ConfigT) -> ConfigT:
    """The configuration with ``auto`` replaced by what this machine has.

    Raises:
        InputError: for a CUDA device that is not there.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise InputError("--device cuda: there is no CUDA device here; use --device cpu")
    device = config.device if config.device != "auto" else ("cuda" if available else "cpu")
    precision = config.precision
    if precision == "auto":
        # bf16 pays on a GPU; on a CPU only where it has matrix units for it, and few have.
        precision = "bf16-mixed" if device == "cuda" else "32-true"
    return config.model_copy(update={"device": device, "precision": precision})


def fit(
    module: pl.LightningModule,
    config: TrainingConfig,
    folder: Path,
    train: DataLoader[Batch],
    validation: DataLoader[Batch] | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> None:
    """Train, from the last checkpoint in the folder where there is one.

    Raises:
        InputError: for a checkpoint that is damaged or of another architecture.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    checkpoints = folder / "checkpoints"
    keep_last = ModelCheckpoint(
        checkpoints,
        filename="last",
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    trainer = pl.Trainer(
        max_epochs=config.optimizer.epochs,
        accelerator="gpu" if config.device == "cuda" else "cpu",
        devices=1,
        precision=config.precision,
        gradient_clip_val=1.0,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        callbacks=[
            SeedEveryStep(config.seed),
            Curves(folder),
            *callbacks,
            keep_last,
            Progress(),
        ],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    last = checkpoints / LAST
    if last.is_file():
        _check_checkpoint(last, module)
    try:
        trainer.fit(
            module,
            train,
            validation,
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )
    except SystemExit:
        if trainer.interrupted:  # how Lightning passes Ctrl-C on
            raise KeyboardInterrupt from None
        raise


def _check_checkpoint(path: Path, module: pl.LightningModule) -> None:
    """Refuse a checkpoint that cannot be read or does not fit.

    Raises:
        InputError: saying which.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        shapes = {name: value.shape for name, value in stored.items()}
    except (pickle.UnpicklingError, OSError, EOFError, RuntimeError, KeyError, ValueError):
        raise InputError(f"{path} is truncated or damaged; delete it to start again") from None
    if shapes != {name: value.shape for name, value in module.state_dict().items()}:
        raise InputError(f"{path} is a checkpoint of another architecture; choose another --out")


def pretrain(config: PretrainConfig) -> tuple[Path, bool]:
    """Pretrain an encoder.

    Returns:
        The folder of the run, and whether there was anything left to do.

    Raises:
        InputError: for bad input.
    """
    config = resolve(config)
    method = method_class(config.method)
    if config.data is None or not config.data.is_dir():
        raise InputError(
            f"there is no data set at {config.data or 'data: null'}; make it with `python cli.py "
            f"simulate --model 2 --n 50000 --out {config.data or 'data/model2'}`"
        )
    data = shards.read(config.data, config.classes)
    if data.image.shape[-1] != config.encoder.image_size:
        raise InputError(
            f"{config.data} has images of {data.image.shape[-1]} pixels, the encoder is for "
            f"{config.encoder.image_size}; use --set encoder.image_size={data.image.shape[-1]} "
            "(a multiple of encoder.patch_size)"
        )
    with run_folder(config, config.method, "encoder.json") as (folder, finished):
        if finished:
            return folder, False
        pl.seed_everything(config.seed, verbose=False)
        memory = InMemory(data)
        optimizer = config.optimizer
        batches = loader(
            memory, np.arange(len(data)), optimizer.batch_size, shuffle=True, seed=config.seed
        )
        stretch = Stretch.fit(torch.from_numpy(data.image), config.stretch)
        module = method(config, stretch, optimizer.epochs * len(batches))
        fit(module, config, folder, batches)
        from learn.figures import draw_curves

        draw_curves(folder, title=f"{config.method} on {config.data}")
        save_encoder(
            module.exported,
            folder,
            {
                "method": config.method,
                "data": {key: data.attrs[key] for key in ("model", "preset", "pixel_scale")},
                "images": len(data),
                "epochs": optimizer.epochs,
                "seed": config.seed,
                "stretch": config.stretch.model_dump(),
                "parameters": count_parameters(module.exported.requires_grad_(True)),
            },
        )
    return folder, True
