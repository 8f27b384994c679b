"""Judge whether images resemble those that a task was trained on, by its test of outliers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn.data import Batch, BatchIndices, InMemory, Split, loader
from learn.lens_fits.lens_fits import LensFits
from learn.tasks.base import Task
from learn.tasks.outliers import Resemblance


@torch.inference_mode()
def judge_batch(task: Task, batch: Batch) -> Resemblance | None:
    """Judge the images of a batch; None by a task that has not learned which are ordinary."""
    if task.outliers is None:
        return None
    if batch.fits is not None:
        return task.outliers.judge_fits(batch.fits)
    return task.outliers.judge(task.encoder.features(task.encoder_input(batch)), None)


def judge_rows(task: Task, rows: NDArray[np.int64], memory: InMemory) -> Resemblance | None:
    """Judge the images ``rows`` of what ``memory`` holds; None likewise."""
    if task.outliers is None:
        return None
    task.eval()
    if memory.fits is not None:
        return task.outliers.judge_fits(_fits(task, rows, memory.fits))
    return task.outliers.judge(_encoder_features(task, rows, memory), None)


def learn_ordinary(task: Task, memory: InMemory, parts: Split) -> None:
    """Learn which images are ordinary, into the buffers of a trained task.

    They are the validation images. Where lenses are fitted they are those of the training too,
    because no network has been trained on them on the way to their features.
    """
    test, rate = task.outliers, task.config.false_flags
    if test is None or rate is None:
        return
    task.eval()
    if memory.fits is not None:
        rows = np.concatenate([parts.train, parts.validation])
        test.learn_fits(_fits(task, rows, memory.fits), rate)
    else:
        test.learn(_encoder_features(task, parts.validation, memory), None, rate)


def _fits(task: Task, rows: NDArray[np.int64], fits: LensFits) -> LensFits:
    """The fits of some images, without their channels, on the device of the task."""
    return fits.without_channels().rows(torch.from_numpy(rows)).to(task.device)


@torch.inference_mode()
def _encoder_features(task: Task, rows: NDArray[np.int64], memory: InMemory) -> Tensor:
    """Features (N, D) of the encoder."""
    batches = BatchIndices(rows, task.config.optimizer.batch_size, shuffle=False)
    parts = []
    for batch in loader(memory, batches):
        moved = task.transfer_batch_to_device(batch, task.device, 0)
        parts.append(task.encoder.features(task.encoder_input(moved)).float())
    return torch.cat(parts)
