"""Features of images by an encoder: one table, a row an image."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from learn.config import EmbedConfig
from learn.inference.cutouts import Cutout, CutoutRemarks, Progress, find_inputs, read_images
from learn.inference.feature_files import FeatureTable, choose_table, find_data_set, write_table
from learn.inference.loaded_encoder import LoadedEncoder, load_encoder
from learn.inference.memory import images_in_memory
from learn.tasks.outliers import NOT_COMPUTED
from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text
from simulate import shards


def embed(
    run: str | Path,
    inputs: Sequence[Path],
    config: EmbedConfig,
    progress: Callable[[list[Path]], Progress] | None = None,
    warn: Callable[[str], None] = print,
    *,
    overwrite: bool = False,
) -> tuple[Path, int]:
    """Write the features of all images of a data set, or in files.

    The images of a data set are taken as they are, with their labels. Those in files are read as
    for predictions: resampled to the pixels of the training, cropped or padded; broken ones are
    named and left out.

    Args:
        run: of the encoder; see :func:`learn.load_encoder`.
        inputs: the folder of a data set, or files and folders of files.
        config: the options.
        progress: called with all files; returns what to call as they are dealt with.
        warn: called with lines on broken images, and on what was done to others.
        overwrite: replace a file that is no table of features, but no input.

    Returns:
        The table, and the number of images.

    Raises:
        InputError: for a folder without a finished encoder, where no image can be read, or where
            nothing can be written to ``out``.
    """
    place = choose_table(config.out, inputs, overwrite=overwrite)
    encoder = load_encoder(run).to(choose_device(config.device))
    if (folder := find_data_set(inputs)) is not None:
        table = _embed_data_set(encoder, folder)
    else:
        remarks = CutoutRemarks()
        found = [file for name in inputs for file in find_inputs(name, remarks)]
        files = [file for file in dict.fromkeys(found) if file.resolve() != place]
        report = progress(files) if progress else _silent
        table = _embed_files(encoder, files, config, remarks, report)
        for line in remarks.lines(len(table.index)):
            warn(line)
    write_table(table, choose_table(config.out, inputs, overwrite=overwrite))
    return config.out or Path(place.name), len(table.index)


def _silent(path: Path, part: float) -> None:
    """Show no progress."""


def _embed_data_set(encoder: LoadedEncoder, folder: Path) -> FeatureTable:
    data = shards.read(folder)
    features = encoder.features_of(data).numpy()
    known = np.isfinite(features).all(1)
    return FeatureTable(
        _mark_unknown(features, known),
        [plain_text(folder)] * len(data),
        np.arange(len(data)),
        np.where(known, "", NOT_COMPUTED).tolist(),
        data.label,
        data.label_names,
        plain_text(encoder.folder),
    )


def _embed_files(
    encoder: LoadedEncoder,
    files: Sequence[Path],
    config: EmbedConfig,
    remarks: CutoutRemarks,
    report: Progress,
) -> FeatureTable:
    cutouts = read_images(files, encoder, config, remarks, report)
    size = min(config.batch_size, images_in_memory(encoder))
    parts = list(_embed_batches(encoder, cutouts, size, remarks))
    if not parts:
        first = next(iter(remarks.broken + remarks.left_out), "they hold no images")
        raise InputError(f"nothing to embed: {first}")
    seen = [cutout for part, _ in parts for cutout in part]
    features = np.concatenate([values for _, values in parts])
    known = np.isfinite(features).all(1)
    return FeatureTable(
        features,
        [plain_text(cutout.path) for cutout in seen],
        np.array([cutout.index for cutout in seen]),
        np.where(known, "", NOT_COMPUTED).tolist(),
        None,
        [],
        plain_text(encoder.folder),
    )


@torch.inference_mode()
def _embed_batches(
    encoder: LoadedEncoder, cutouts: Iterable[Cutout], size: int, remarks: CutoutRemarks
) -> Iterable[tuple[list[Cutout], NDArray[np.float32]]]:
    """Features of images in batches; what is no number, or shows nothing, is NaN throughout."""
    rest = iter(cutouts)
    while batch := list(itertools.islice(rest, size)):
        pixels = np.stack([cutout.frame.pixels for cutout in batch])
        times = np.array([cutout.exposure_time for cutout in batch])
        padding = np.array([cutout.frame.padding for cutout in batch])
        given = encoder.features(pixels, exposure=times, padding=padding if padding.any() else None)
        features = given.cpu().numpy()
        known = np.isfinite(features).all(1) & ~np.array([cutout.blank for cutout in batch])
        for cutout, is_known in zip(batch, known, strict=True):
            if not is_known:
                remarks.fail(cutout)
        yield batch, _mark_unknown(features, known)


def _mark_unknown(features: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(known[:, None], features, np.float32(np.nan))
