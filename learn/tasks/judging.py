"""Judge whether images resemble those that a task was trained on, by its test of outliers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from learn.data import Batch, BatchIndices, InMemory, loader
from learn.lens_fits.features import fit_features
from learn.splits import Split
from learn.tasks.base import Task
from learn.tasks.misfit import measure_misfit
from learn.tasks.outliers import Observed, OutlierTest, Resemblance


@torch.inference_mode()
def judge_batch(task: Task, batch: Batch) -> Resemblance | None:
    """Judge the images of a batch; None by a task that has not learned which are ordinary."""
    if task.outliers is None:
        return None
    return task.outliers.judge(_observe(task, task.outliers, batch))


def judge_rows(task: Task, rows: NDArray[np.int64], memory: InMemory) -> Resemblance | None:
    """Judge the images ``rows`` of what ``memory`` holds; None likewise."""
    if task.outliers is None:
        return None
    return task.outliers.judge(_observe_rows(task, task.outliers, rows, memory))


def learn_ordinary(task: Task, memory: InMemory, parts: Split) -> None:
    """Learn which images are ordinary, into the buffers of a trained task.

    They are the validation images. Where lenses are fitted they are those of the training too,
    because no network has been trained on them on the way to what is tested.
    """
    test, rate = task.outliers, task.config.false_flags
    if test is None or rate is None:
        return
    rows = parts.validation
    if memory.fits is not None and test.usual_lens is not None:
        rows = np.concatenate([parts.train, rows])
        fits = memory.fits.without_channels().rows(torch.from_numpy(rows))
        test.usual_lens.learn(fits.to(task.device))
    test.learn(_observe_rows(task, test, rows, memory), rate)


@torch.inference_mode()
def _observe_rows(
    task: Task, test: OutlierTest, rows: NDArray[np.int64], memory: InMemory
) -> Observed:
    """The numbers that are tested, of the images ``rows``."""
    task.eval()
    batches = BatchIndices(rows, task.config.optimizer.batch_size, shuffle=False)
    parts = []
    for batch in loader(memory, batches):
        moved = task.transfer_batch_to_device(batch, task.device, 0)
        parts.append(_observe(task, test, moved))
    return Observed.join(parts)


def _observe(task: Task, test: OutlierTest, batch: Batch) -> Observed:
    fits, channels = batch.fits, batch.channels
    if fits is None or channels is None or test.usual_lens is None:
        return Observed(task.encoder.features(task.encoder_input(batch)).float())
    image = batch.image_lr if task.column == "image_lr" else batch.image
    assert image is not None
    features = fit_features(test.usual_lens.compare(fits.without_channels()))
    radius_error = fits.radius_error if task.of_lenses else None
    return Observed(features, measure_misfit(image, channels), fits.chi2_dof, radius_error)
