"""Audit of a data set: no shortcut to the classes, and a signal that can be found."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from learn.audit_files import FINDINGS, PICTURE, check_audit
from learn.baselines.radial import radial_classifier, radial_features
from learn.config import AuditConfig
from learn.data import Batch, BatchIndices, InMemory, loader
from learn.reporting.figures.audit import draw_sensitivity
from learn.splits import Split, split
from learn.training.progress import Progress
from learn.views.symmetries import random_d4
from lensphys.ground.errors import InputError
from lensphys.ground.files import write_text
from lensphys.ground.locks import hold
from simulate import shards
from simulate.config import NON_LENS
from simulate.dataset.padding import mark_padding
from simulate.dataset.twins import has_twins, twin_residuals
from simulate.shards import DataSet

#: The class without substructure, with which the others are compared: here, and in the DeepLense
#: tests.
NONE = ("no_sub", "no")
_RESAMPLES = 1000

Interval = tuple[float, float]
Rows = NDArray[np.int64]


def audit(folder: Path, config: AuditConfig, *, overwrite: bool = False) -> dict[str, Any]:
    """Run the checks, and write ``audit.json`` and, with the second, ``audit.png``.

    1. No shortcut: logistic regression on radial features, of each class of substructure against
       none, stays near chance. The AUC of images without a lens against all lenses is measured
       without a limit: a lens finder has to exceed it.
    2. The signal is there: a network that sees the residual of each image against its own twin
       without substructure classifies most images correctly, but not all. Images without twins, as
       published and imported ones, skip this check.

    Args:
        folder: of the data set.
        config: the options.
        overwrite: replace files of these names that no audit has made.

    Returns:
        The findings: ``radial_auc`` (by class), ``radial_auc_non_lens`` and ``twin_accuracy``
        with 95% intervals over test images, the limits, and the verdicts in ``passed``; None
        where a check does not apply, with the reason in ``twin_skipped``.

    Raises:
        InputError: for a data set that lacks a class, or has too few images to test on, and where
            nothing can be written.
    """
    check_audit(config.out or folder, overwrite=overwrite)
    data = shards.read(folder)
    _without_substructure(data)
    parts = _parts(data, config)
    out = config.out or folder
    with hold(out):
        check_audit(out, overwrite=overwrite)
        twin_findings, draw = _twin_check(data, parts, config)
        result = {
            "images": len(data),
            "labels_per_class": int(np.bincount(data.label[parts.train]).min()),
            **_radial_check(data, parts, config),
            **twin_findings,
        }
        twin, (low, high) = result["twin_accuracy"], config.twin_accuracy
        result["passed"] = {
            "radial": all(auc <= config.radial_auc_max for auc in result["radial_auc"].values()),
            "twin": None if twin is None else low <= twin <= high,
        }
        # The picture comes second: beside findings of an audit it is known as one of an audit.
        write_text(out / FINDINGS, json.dumps(result, indent=1) + "\n")
        if draw:
            draw(out / PICTURE)
    return result


def failures(result: dict[str, Any]) -> list[str]:
    """One line for each check that failed, with the finding and the limit."""
    limit = result["radial_auc_max"]
    lines = [
        f"no shortcut: the radial AUC of {name} is {auc:.3f}, allowed is at most {limit:g}"
        for name, auc in result["radial_auc"].items()
        if auc > limit
    ]
    if result["passed"]["twin"] is False:
        low, high = result["twin_accuracy_allowed"]
        lines.append(
            f"signal: the accuracy on twin residuals is {result['twin_accuracy']:.3f}, "
            f"allowed is {low:g} to {high:g}"
        )
    return lines


def _without_substructure(data: DataSet) -> int:
    """The label of lenses without substructure."""
    labels = [number for number, name in _lenses(data).items() if name in NONE]
    if not labels or len(_lenses(data)) < 2:
        names = ", ".join(data.label_names)
        raise InputError(
            f"{data.path} has classes {names}; the checks need {' or '.join(NONE)} and another "
            "class of lenses"
        )
    return labels[0]


def _lenses(data: DataSet) -> dict[int, str]:
    """The classes of images that show a lens, by label."""
    return {number: name for number, name in enumerate(data.label_names) if name != NON_LENS}


def _parts(data: DataSet, config: AuditConfig) -> Split:
    """Split the images into training and test.

    Raises:
        InputError: if intervals over the test images would be too wide to use.
    """
    counts = np.bincount(data.label, minlength=len(data.label_names))
    few = int(counts.argmin())
    tested, least = round(counts[few] * config.test_fraction), config.least_test_images_per_class
    if tested < least:
        enough = math.ceil(least / config.test_fraction)
        raise InputError(
            f"{data.path} has {counts[few]} images of {data.label_names[few]}, of which {tested} "
            f"are tested on; an audit needs {least} (least_test_images_per_class), so at least "
            f"{enough} images of each class"
        )
    return split(
        data.label,
        data.label_names,
        validation_fraction=0.0,
        test_fraction=config.test_fraction,
        labels_per_class=config.labels_per_class,
        seed=config.seed,
    )


def _radial_check(data: DataSet, parts: Split, config: AuditConfig) -> dict[str, Any]:
    """AUC of radial features: of each class against none, and of non-lenses against lenses."""
    features = radial_features(mark_padding(data))
    none, lenses = _without_substructure(data), _lenses(data)

    def auc(negative: list[int], positive: int) -> tuple[float, Interval]:
        train, test = (
            rows[np.isin(data.label[rows], [*negative, positive])]
            for rows in (parts.train, parts.test)
        )
        model = radial_classifier().fit(features[train], data.label[train] == positive)
        score, truth = model.predict_proba(features[test])[:, 1], data.label[test] == positive
        value = float(roc_auc_score(truth, score))
        return value, _interval(truth, lambda rows: float(roc_auc_score(truth[rows], score[rows])))

    classes = {name: auc([none], number) for number, name in lenses.items() if number != none}
    non_lens: tuple[float | None, Interval | None] = (None, None)
    if NON_LENS in data.label_names:
        non_lens = auc(list(lenses), data.label_names.index(NON_LENS))
    return {
        "radial_auc": {name: value for name, (value, _) in classes.items()},
        "radial_auc_95": {name: interval for name, (_, interval) in classes.items()},
        "radial_auc_max": config.radial_auc_max,
        "radial_auc_non_lens": non_lens[0],
        "radial_auc_non_lens_95": non_lens[1],
    }


def _interval(truth: NDArray[Any], statistic: Callable[[Rows], float]) -> Interval:
    """95% interval of a statistic of the test images, by resampling those of each class."""
    rng = np.random.default_rng(0)
    classes = [np.flatnonzero(truth == each) for each in np.unique(truth)]
    values = [
        statistic(np.concatenate([rng.choice(members, len(members)) for members in classes]))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _twin_check(
    data: DataSet, parts: Split, config: AuditConfig
) -> tuple[dict[str, Any], Callable[[Path], object] | None]:
    """The findings of the second check and how to draw them, or the reason why it is skipped."""
    found: dict[str, Any] = {
        "twin_accuracy": None,
        "twin_accuracy_95": None,
        "twin_accuracy_allowed": list(config.twin_accuracy),
        "twin_skipped": None,
    }
    if not has_twins(data.config):
        this = " ".join(str(data.config.get(key, "")) for key in ("preset", "observation"))
        why = f"it needs a data set of preset physical or realistic with noise; this is {this}"
        return found | {"twin_skipped": why.rstrip()}, None
    lenses = np.isin(data.label, list(_lenses(data)))
    parts = Split(*(rows[lenses[rows]] for rows in (parts.train, parts.validation, parts.test)))
    probability = _twin_probabilities(data, parts, config)
    truth = data.label[parts.test]
    correct = (probability.argmax(1) == truth).astype(np.float64)
    snr = data.params["perturbation_snr"][parts.test]
    names = list(_lenses(data).values())
    found |= {
        "twin_accuracy": float(correct.mean()),
        "twin_accuracy_95": _interval(truth, lambda rows: float(correct[rows].mean())),
    }
    return found, partial(
        draw_sensitivity, probability=probability, truth=truth, snr=snr, names=names
    )


def _twin_probabilities(data: DataSet, parts: Split, config: AuditConfig) -> NDArray[np.float64]:
    """Probabilities (N_test, C) of a small network that sees the twin residuals of lenses."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    pl.seed_everything(config.seed, verbose=False)
    memory = InMemory(dataclasses.replace(data, image=twin_residuals(data)))
    batch_size = config.batch_size
    train = loader(memory, BatchIndices(parts.train, batch_size, shuffle=True, seed=config.seed))
    test = loader(memory, BatchIndices(parts.test, batch_size, shuffle=False))
    module = ResidualNet(config, len(_lenses(data)), config.epochs * len(train))
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[Progress()],
    )
    trainer.fit(module, train)
    module.eval()
    with torch.inference_mode():
        logits = [module(batch.image) for batch in test]
    return torch.cat(logits).double().softmax(1).numpy()


class ResidualNet(pl.LightningModule):
    """A plain convolutional network for residuals in units of the noise."""

    def __init__(self, config: AuditConfig, classes: int, steps: int) -> None:
        super().__init__()
        self._lr, self._steps = config.lr, steps
        widths = [config.width * factor for factor in (1, 2, 4, 4)]
        stages: list[nn.Module] = []
        for before, after in zip([1, *widths], widths, strict=False):
            stages += [nn.Conv2d(before, after, 3, padding=1, bias=False)]
            # Pooling before clipping gives the same, with a quarter of the pixels to clip.
            stages += [nn.BatchNorm2d(after), nn.MaxPool2d(2), nn.ReLU()]
        # On a CPU so few channels run twice as fast when they lie side by side in memory.
        self.stages = nn.Sequential(*stages).to(memory_format=torch.channels_last)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * widths[-1], classes))

    def forward(self, residual: Tensor) -> Tensor:
        """Logits (B, C) of residuals (B, 1, H, W)."""
        # Half of the residual of a bright vortex is far beyond the noise.
        image = torch.asinh(residual).contiguous(memory_format=torch.channels_last)
        maps = self.stages(image)
        return self.head(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))  # type: ignore[no-any-return]

    def training_step(self, batch: Batch, _: int) -> Tensor:
        (image,) = random_d4(batch.image)
        return F.cross_entropy(self(image), batch.label)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self._lr, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self._lr, self._steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
