"""Predictions for images in files: one table, or super-resolved FITS files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from learn.config import PredictConfig
from learn.inference.cutouts import (
    Cutout,
    CutoutRemarks,
    Progress,
    find_inputs,
    find_optics,
    read_images,
)
from learn.inference.fine_images import write_images
from learn.inference.lens_cutouts import read_lens_cutouts
from learn.inference.memory import images_in_memory
from learn.inference.model import Model, load_model
from learn.inference.outputs import choose_folder, choose_table, drop_outputs
from learn.inference.tables import Predicted, write_table
from learn.inference.testing import are_computed
from learn.inference.unknown import list_unknown
from learn.modelling.reading.lens_files import Given, find_lenses
from learn.tasks.judging import judge_batch
from learn.tasks.outliers import Resemblance
from learn.weights import shipped
from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from simulate.dataset.photometry import Optics


def predict(
    run: Path,
    inputs: Sequence[Path],
    config: PredictConfig,
    progress: Callable[[list[Path]], Progress] | None = None,
    warn: Callable[[str], None] | None = None,
    *,
    overwrite: bool = False,
    own_optics: bool = False,
) -> tuple[Path, int]:
    """Predict all images in files.

    Images that cannot be read are named and left out; nothing else is lost with them. What could
    not be computed of an image is NaN, with a flag.

    Args:
        run: folder of a finished fine-tuning run, or of what was exported of it.
        inputs: files, data sets, and folders of files.
        config: the options.
        progress: called with all files; returns what to call as they are dealt with.
        warn: called with lines on broken images, and on what was done to others.
        overwrite: replace files that are no predictions, but no inputs.
        own_optics: fit each lens with a noise map and a PSF of its own, found as ``model`` does.

    Returns:
        The table, or the folder of super-resolved images, and the number of images.

    Raises:
        InputError: for a folder without a finished run, where no image can be read, or where
            nothing can be written to ``out``.
    """
    model = load_model(run).to(choose_device(config.device))
    warn = warn or print
    remarks = CutoutRemarks()
    if own_optics:
        lenses = find_lenses(inputs, Given())
        out = choose_table(config.out, [lens.image for lens in lenses], overwrite=overwrite)
        report = progress([lens.image for lens in lenses]) if progress else _silent
        cutouts = read_lens_cutouts(lenses, model, config, remarks, report)
    else:
        out, files = _choose_output(config.out, inputs, model, remarks, overwrite=overwrite)
        report = progress(files) if progress else _silent
        cutouts = read_images(files, model, config, remarks, report)
    predictions = _predict_batches(model, cutouts, _choose_batch(config, model, warn), remarks)
    if model.task.makes_images:
        count = write_images(out, predictions, model, overwrite=overwrite)
    else:
        count = write_table(out, predictions, model.task, overwrite=overwrite)
    if not count:
        first = next(iter(remarks.broken + remarks.left_out), "they hold no images")
        raise InputError(f"nothing to predict: {first}")
    for line in remarks.lines(count):
        warn(line)
    if run.parent == shipped.FOLDER:  # whoever uses it has not trained it
        for line in list_unknown(model):
            warn(f"it cannot know {line}")
    return out, count


def _silent(path: Path, part: float) -> None:
    """Show no progress."""


def _choose_output(
    out: Path | None,
    inputs: Sequence[Path],
    model: Model,
    remarks: CutoutRemarks,
    *,
    overwrite: bool,
) -> tuple[Path, list[Path]]:
    """The table or folder that is written, and the files that are read, without earlier outputs."""
    if model.task.makes_images:
        place = out or Path("predictions")
    else:
        place = choose_table(out, inputs, overwrite=overwrite)
    files: dict[Path, None] = {}
    for name in inputs:
        found = find_inputs(name, remarks)
        files |= dict.fromkeys(drop_outputs(found, place) if name.is_dir() else found)
    if model.task.makes_images:
        choose_folder(
            out, model.task.config.task, list(files), factor=model.factor, overwrite=overwrite
        )
    return place, list(files)


def _choose_batch(config: PredictConfig, model: Model, warn: Callable[[str], None]) -> int:
    """The number of images to predict at a time: those that memory holds."""
    most = images_in_memory(model)
    if config.batch_size > most:
        warn(f"batches of {most} images, as many as memory holds, not {config.batch_size}")
    return min(config.batch_size, most)


@torch.inference_mode()
def _predict_batches(
    model: Model, cutouts: Iterable[Cutout], batch_size: int, remarks: CutoutRemarks
) -> Iterator[Predicted]:
    """Predict images in batches; results that are no numbers are NaN, with a flag."""
    rest = iter(cutouts)
    while batch := list(itertools.islice(rest, batch_size)):
        pixels = np.stack([cutout.frame.pixels for cutout in batch]).astype(np.float32)
        exposure = np.array([cutout.exposure_time for cutout in batch])
        padding = np.array([cutout.frame.padding for cutout in batch])
        values, judged = _predict_batch(model, pixels, exposure, find_optics(batch), padding)
        known = are_computed(values)
        if not model.task.makes_images:
            known &= ~np.array([cutout.blank for cutout in batch])
        values[torch.from_numpy(~known)] = torch.nan
        for cutout, is_known in zip(batch, known, strict=True):
            if not is_known:
                remarks.fail(cutout)
        if judged is not None:
            remarks.flag(judged.rows(known))
        yield Predicted(batch, values, known, judged)


def _predict_batch(
    model: Model,
    pixels: NDArray[np.float32],
    exposure: NDArray[np.float64],
    optics: list[Optics] | None,
    padding: NDArray[np.int64],
) -> tuple[torch.Tensor, Resemblance | None]:
    """Predictions on the CPU, and how the images resemble those of the training.

    Raises:
        InputError: if a batch is too large for the device.
    """
    try:
        batch = model.prepare(pixels, exposure, optics, padding if padding.any() else None)
        values = model.task.predict_batch(batch)
        return values.float().cpu(), judge_batch(model.task, batch)
    except (torch.OutOfMemoryError, MemoryError):
        raise InputError(
            f"the device has no memory for a batch of {len(pixels)} images; give --batch-size "
            f"{max(1, len(pixels) // 4)}, or --device cpu"
        ) from None
