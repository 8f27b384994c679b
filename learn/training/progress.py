"""The progress of a training: its epoch, its loss, and the time left of the whole run."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from lensphys.ground.progress import Bar, start_bar

#: Seconds between readings of the loss, for which a GPU has to be waited for.
_EVERY = 0.5


class Progress(ProgressBar):  # type: ignore[misc]
    """One bar over the steps of all epochs."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Bar | None = None
        self._enabled, self._read = True, 0.0

    def disable(self) -> None:
        """Show nothing, as in all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not self._enabled:
            return
        steps = trainer.num_training_batches
        total, done = trainer.max_epochs * steps, trainer.current_epoch * steps
        self._bar = start_bar(total, done, "step", _words(trainer))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self._bar is None:
            return
        if time.monotonic() - self._read > _EVERY:
            self._read = time.monotonic()
            values = trainer.progress_bar_metrics
            told = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
            self._bar.describe(_words(trainer), told)
        self._bar.update(1)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _words(trainer: pl.Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
