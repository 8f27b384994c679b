"""Test a trained task: from the weights that a run has left, on its own images or on others."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from learn.config import FinetuneConfig
from learn.data import BatchIndices, InMemory, Stretch, loader, split
from learn.lens_fits.store import seen_by
from learn.networks.encoder import described_encoder, load_weights
from learn.runs import CONFIG, METRICS
from learn.tasks import task_class
from learn.tasks.base import Task
from lensphys.ground.config import checked, read_yaml
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing, write_text
from lensphys.ground.locks import held
from simulate import shards
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet

MODEL, PREDICTIONS = "model.safetensors", "predictions.h5"
#: Under which the header of the weights says what they are of.
_HEADER = "lensphys"
#: Of the configuration of a data set: what no single image depends on.
_PACE = {"n", "pairs", "shard_size", "device", "backend"}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a trained task is worth on a data set.

    Attributes:
        metrics: the content of a ``metrics.json``.
        data: the data set.
        rows: indices of its images that it was tested on.
    """

    metrics: dict[str, Any]
    data: DataSet
    rows: NDArray[np.int64]


def evaluate(
    run: Path, data: Path | None = None, out: Path | None = None, device: str = "cpu"
) -> Evaluation:
    """Test the weights of a finished fine-tuning run.

    On the data set of the run, wherever it lies now: on its test images, with the same metrics as
    at its end (to the last digit on a CPU, unless the encoder was compiled). On any other: on all
    images.

    Args:
        run: its folder, of which ``model.safetensors`` and ``config.yaml`` are read.
        data: another data set, of the same instrument; None: where that of the run was.
        out: where to write metrics, predictions and figures; nothing is written without it.
        device: to compute on: cpu, cuda, or auto for cuda where there is one.

    Raises:
        InputError: for a folder without a finished run, data that do not fit it or hold some of the
            images it was trained on, or a CUDA device that is not there.
    """
    config, header = _trained(run)
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("--device cuda: there is no CUDA device here; use --device cpu")
    if device == "auto":
        device = "cuda" if available else "cpu"
    assert config.data is not None
    images = shards.read(data or config.data)
    own = _is_own(images, header.get("data"), config.data, run, named=data is not None)
    if own:
        images = first_images(images, config.max_images)
    task = task_class(config.task)
    task.inputs(images)
    _check_match(header["must_match"], task.must_match(images), images.path, run)
    rows = _test_rows(images, config) if own else np.arange(len(images))
    module = _restored(run, config, header, images).to(device)
    memory = served(module, images, device)
    predictions = predicted(module, rows, memory)
    metrics = measured(module, predictions, images, rows, memory)
    if out is not None:
        with held(out):
            if (out / CONFIG).exists():
                raise InputError(f"{out} is the folder of a run; choose another --out")
            write_results(module, predictions, images, rows, metrics, out)
    return Evaluation(metrics, images, rows)


def served(module: Task, data: DataSet, device: str, *, with_params: bool = False) -> InMemory:
    """A data set with all that a task is shown of it.

    Args:
        module: the task.
        data: the data set.
        device: to fit lenses on, where that is called for.
        with_params: the columns of the data set too.

    Raises:
        InputError: for a data set that does not say what a fit needs to know of it.
    """
    prior = seen_by(module.encoder.config, data, column=module.column, device=device)
    detail = None
    if prior is not None:
        shape, photometry = module.inputs(data).shape[-2:], functools.partial(Photometry.of, data)
        detail = module.detail(prior.fit, (shape[0], shape[1]), photometry)
    return InMemory(data, with_params=with_params, prior=prior, detail=detail)


def predicted(module: Task, rows: NDArray[np.int64], memory: InMemory) -> Tensor:
    """Predictions for the images ``rows`` of what ``memory`` holds, on the CPU."""
    batches = BatchIndices(rows, module.config.optimizer.batch_size, shuffle=False)
    return module.predict_all(loader(memory, batches))


def measured(
    module: Task, predictions: Tensor, data: DataSet, rows: NDArray[np.int64], memory: InMemory
) -> dict[str, Any]:
    """Metrics of the predictions for the images ``rows``, and of all baselines beside them."""
    return module.measure(predictions, data, rows) | module.measure_fit(memory, data, rows)


def first_images(data: DataSet, count: int | None) -> DataSet:
    """The first images of a data set, all where no count is given."""
    if count is None:
        return data
    return dataclasses.replace(
        data,
        image=data.image[:count],
        label=data.label[:count],
        params={name: values[:count] for name, values in data.params.items()},
        image_lr=None if data.image_lr is None else data.image_lr[:count],
        numbers=None if data.numbers is None else data.numbers[:count],
    )


def save_model(module: Task, data: DataSet, folder: Path) -> None:
    """Write ``model.safetensors``; its header says what is needed to use it again."""
    header = {
        "encoder": module.encoder.config.model_dump(mode="json"),
        "must_match": module.must_match(data),
        "data": data.config,
    }
    weights = {k: v.cpu().contiguous() for k, v in module.state_dict().items()}
    with replacing(folder / MODEL) as path:
        save_file(weights, path, metadata={_HEADER: json.dumps(header)})


def write_results(
    module: Task,
    predictions: Tensor,
    data: DataSet,
    rows: NDArray[np.int64],
    metrics: dict[str, Any],
    folder: Path,
) -> None:
    """Write figures, predictions and, last, the metrics."""
    module.draw(predictions, data, rows, metrics, folder)
    columns, attrs = module.records(predictions, data, rows)
    with replacing(folder / PREDICTIONS) as path, h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
        file.create_dataset("index", data=rows)
        file.create_dataset("label", data=data.label[rows])
        for name, value in ({"label_names": data.label_names} | attrs).items():
            file.attrs[name] = value
    write_text(folder / METRICS, json.dumps(metrics, indent=1) + "\n")


def _trained(run: Path) -> tuple[FinetuneConfig, dict[str, Any]]:
    """The configuration of a finished run, and the header of its weights."""
    path = run / CONFIG
    values = read_yaml(path) if path.is_file() else {}
    if "task" not in values:
        raise InputError(
            f"{run} is not the folder of a fine-tuning run; make one with `python cli.py finetune`"
        )
    if not (run / MODEL).is_file():
        raise InputError(f"{run} is not finished; run its finetune command again to finish it")
    try:
        with safe_open(run / MODEL, "pt") as file:
            header = json.loads(file.metadata()[_HEADER])
        header["encoder"], header["must_match"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{run / MODEL} is damaged or of an older version; fine-tune again in a new folder"
        ) from None
    return checked(FinetuneConfig, values, str(path)), header


def _is_own(
    images: DataSet, known: dict[str, Any] | None, place: Path, run: Path, *, named: bool
) -> bool:
    """Whether these are the images of a run: made as they were, wherever they lie."""
    if known is None:  # a run of an earlier version
        return images.path.resolve() == place.resolve()
    if _images_of(images.config) != _images_of(known):
        if not named:
            raise InputError(
                f"{images.path} is not the data set any more that {run} was trained on; where that "
                "is, or to be tested on all of this one, say with --data"
            )
        return False
    if images.config.get("n") != known.get("n"):
        raise InputError(
            f"{images.path} was made as the data set of {run}, but for n = {images.config['n']}, "
            f"not {known['n']}: it was trained on some of these images; choose another --data"
        )
    return True


def _images_of(config: dict[str, Any]) -> dict[str, Any]:
    """What each image of a data set follows from, however many there are."""
    return {key: value for key, value in config.items() if key not in _PACE}


def _check_match(ours: dict[str, Any], theirs: dict[str, Any], data: Path, run: Path) -> None:
    """Refuse data that a network would misread without a sign."""
    for key, wanted in ours.items():
        found = theirs.get(key)
        if isinstance(wanted, float) and isinstance(found, float):
            same = math.isclose(wanted, found, rel_tol=1e-4)
        else:
            same = wanted == found
        if not same:
            raise InputError(
                f"{data} has {key} = {_plain(found)}, the data of {run} had {_plain(wanted)}; "
                "choose another --data"
            )


def _plain(value: object) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _test_rows(data: DataSet, config: FinetuneConfig) -> NDArray[np.int64]:
    parts = split(
        data.label,
        data.label_names,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        labels_per_class=config.labels_per_class,
        seed=config.seed,
    )
    return parts.test


def _restored(run: Path, config: FinetuneConfig, header: dict[str, Any], data: DataSet) -> Task:
    """The trained task. What it learnt of the data, its weights bring: all images stand in."""
    encoder = described_encoder(header["encoder"], str(run / MODEL))
    stretch = Stretch(config.stretch.kind)
    module = task_class(config.task)(config, encoder, stretch, data, np.arange(len(data)), 1)
    load_weights(module, run / MODEL)
    return module
