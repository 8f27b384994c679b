"""The training loop: pytorch-lightning, with checkpoints that resume and curves on disk."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from learn.config import PretrainConfig, TrainingConfig
from learn.data import Batch
from learn.networks.encoder import Encoder
from learn.networks.rcan import Rcan
from learn.run_files import CHECKPOINTS, CURVES, read_curves
from learn.training.checkpoints import LAST, Checkpoint, WholeCheckpoints, check_checkpoint
from learn.training.monitor import Monitor
from learn.training.processes import announce_folder, check_devices
from learn.training.progress import Progress
from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing
from lensphys.ground.locks import remove_leftovers

ConfigT = TypeVar("ConfigT", bound=TrainingConfig)

_log = logging.getLogger(__name__)
#: Width of an encoder from which a CPU trains it faster in bfloat16: see docs/benchmarks.md.
_WIDE = 96


class Curves(Callback):
    """Appends the metrics of every epoch to ``metrics.csv``; a resumed run goes on in it.

    Lightning's logger of CSV files starts a new one where a run is resumed.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / CURVES

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics  # averaged over the processes: all must ask
        if not trainer.is_global_zero:
            return
        row: dict[str, Any] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row |= {name: value.item() for name, value in sorted(metrics.items())}
        row.pop("loss", None)
        for callback in trainer.callbacks:
            if isinstance(callback, Monitor):
                row |= callback.measured
        rows = [old for old in read_curves(self._path) if int(old["epoch"]) < row["epoch"]]
        names = list(dict.fromkeys(name for each in (*rows, row) for name in each))
        with replacing(self._path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names, restval="")
            writer.writeheader()
            writer.writerows([*rows, row])


class StopWhereDiverged(Callback):
    """Ends a run whose loss is no number, before a checkpoint is made of it."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics["train_loss"]
        if not loss.isfinite():
            raise InputError(
                f"the training has diverged in epoch {trainer.current_epoch + 1}: its loss is "
                f"{loss.item()}; use a smaller optimizer.base_lr and another --out"
            )


class Stop(EarlyStopping):
    """Early stopping that a resumed run remembers."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.should_stop = self.wait_count >= self.patience


class SeedEveryStep(Callback):
    """Restarts the random numbers of masks and views from seed, process, epoch and batch.

    A run that is resumed then draws what an undisturbed one would have drawn.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        key = [self._seed, trainer.global_rank, trainer.current_epoch, batch_idx]
        (state,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
        torch.manual_seed(int(state))


def prefers_half_precision(config: TrainingConfig, device: str) -> bool:
    """Tell whether mixed precision with bfloat16 makes training faster, and loses nothing.

    On a GPU it does. On a CPU with matrix units for it (AMX) encoders that are wide enough are
    pretrained faster; tasks keep their digits there.
    """
    if device == "cuda":
        return True
    wide = isinstance(config, PretrainConfig) and config.encoder.embed_dim >= _WIDE
    # Older versions of torch lack this function.
    capabilities: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return wide and bool(capabilities.get("amx_bf16"))


def resolve(config: ConfigT) -> ConfigT:
    """The configuration with ``auto`` replaced by what this machine has.

    Raises:
        InputError: for a CUDA device that is not there; see also :func:`check_devices`.
    """
    device = choose_device(config.device)
    precision = config.precision
    if precision == "auto":
        precision = "bf16-mixed" if prefers_half_precision(config, device) else "32-true"
    config = config.model_copy(update={"device": device, "precision": precision})
    check_devices(config)
    return config


def fastest_attention(device: str, precision: str) -> AbstractContextManager[None]:
    """A context in which attention is computed the fastest way for a device, in training.

    On a CPU the gradients of torch's fused one take four to five times as long in half precision
    as those of its parts, with 17 to 100 tokens an image.
    """
    if device == "cpu" and precision == "bf16-mixed":
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


def train(
    module: pl.LightningModule,
    config: TrainingConfig,
    folder: Path,
    batches: DataLoader[Batch],
    validation: DataLoader[Batch] | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> None:
    """Train, from the last checkpoint in the folder where there is one.

    Raises:
        InputError: for a checkpoint that is damaged or of another architecture, one that cannot be
            written, or a training that diverges.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    checkpoints, optimizer = folder / CHECKPOINTS, config.optimizer
    if optimizer.warmup_epochs > optimizer.epochs:
        _log.warning(
            "the learning rate will not reach its peak: optimizer.warmup_epochs = %g is longer "
            "than the training, optimizer.epochs = %d",
            optimizer.warmup_epochs,
            optimizer.epochs,
        )
    keep_last = Checkpoint(
        checkpoints,
        filename="last",
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    if config.compile:
        _log.info("compiling the encoder, which takes minutes in the first steps ...")
        for part in module.modules():
            if isinstance(part, Encoder | Rcan):
                part.compile()
    if config.processes > 1:
        announce_folder(folder)
    trainer = pl.Trainer(
        max_epochs=config.optimizer.epochs,
        accelerator="gpu" if config.device == "cuda" else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.processes > 1 else "auto",
        # Torch has synchronised batch norm on GPUs only.
        sync_batchnorm=config.processes > 1 and config.device == "cuda",
        precision=config.precision,
        accumulate_grad_batches=config.optimizer.accumulate,
        gradient_clip_val=1.0,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        plugins=[WholeCheckpoints()],
        callbacks=[
            SeedEveryStep(config.seed),
            StopWhereDiverged(),
            *callbacks,
            Curves(folder),
            keep_last,
            Progress(),
        ],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    remove_leftovers(checkpoints)
    last = checkpoints / LAST
    if last.is_file():
        check_checkpoint(last, module)
    try:
        with fastest_attention(config.device, config.precision):
            trainer.fit(
                module,
                batches,
                validation,
                ckpt_path=str(last) if last.is_file() else None,
                weights_only=True,
            )
    except SystemExit:
        if trainer.interrupted:  # how Lightning passes Ctrl-C on
            raise KeyboardInterrupt from None
        raise
