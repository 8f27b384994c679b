"""Is a data set honest? No shortcut to the classes, and a signal that is there to be found."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from learn.data import Batch, BatchIndices, InMemory, Split, loader, split
from learn.figures import draw_sensitivity
from learn.radial import radial_classifier, radial_features
from learn.views import random_d4
from simulate import shards
from simulate.config import Strict
from simulate.errors import InputError
from simulate.folders import held
from simulate.shards import DataSet
from simulate.twins import twin_residuals

#: The class without substructure, against which the others are held.
NONE = "no_sub"
_RESAMPLES = 1000

Interval = tuple[float, float]


class AuditConfig(Strict):
    """``python cli.py audit``."""

    seed: int = Field(ge=0, lt=2**32)
    test_fraction: float = Field(gt=0, lt=1)
    labels_per_class: int | None = Field(gt=0)
    radial_auc_max: float = Field(gt=0.5, le=1)
    twin_accuracy: tuple[float, float]
    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1)
    lr: float = Field(gt=0)
    width: int = Field(gt=0)
    out: Path | None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 <= self.twin_accuracy[0] <= self.twin_accuracy[1] <= 1:
            raise ValueError("twin_accuracy must rise from 0 to 1")
        return self


def audit(folder: Path, config: AuditConfig) -> dict[str, Any]:
    """Run both checks, and write ``audit.json`` and ``audit.png``.

    1. No shortcut: logistic regression on radial features, of each class of substructure against
       none, stays near chance.
    2. The signal is there: a network that sees the residual of each image against its own twin
       without substructure tells the classes, though not all of them.

    Returns:
        What was found: ``radial_auc`` (by class) and ``twin_accuracy`` with 95% intervals over test
        images, what is allowed, and whether each check ``passed``.

    Raises:
        InputError: for a data set that lacks a class, or whose images have no twins.
    """
    data = shards.read(folder)
    if NONE not in data.label_names or len(data.label_names) < 2:
        names = ", ".join(data.label_names)
        raise InputError(f"{folder} has classes {names}; the checks need {NONE} and another")
    parts = split(
        data.label,
        validation_fraction=0.0,
        test_fraction=config.test_fraction,
        labels_per_class=config.labels_per_class,
        seed=config.seed,
    )
    out = config.out or folder
    with held(out):
        radial = _radial_aucs(data, parts)
        probability = _twin_probabilities(data, parts, config)
        truth = data.label[parts.test]
        correct = (probability.argmax(1) == truth).astype(np.float64)
        low, high = config.twin_accuracy
        passed_radial = all(auc <= config.radial_auc_max for auc, _ in radial.values())
        result = {
            "images": len(data),
            "labels_per_class": len(parts.train) // len(data.label_names),
            "radial_auc": {name: auc for name, (auc, _) in radial.items()},
            "radial_auc_95": {name: interval for name, (_, interval) in radial.items()},
            "radial_auc_max": config.radial_auc_max,
            "twin_accuracy": float(correct.mean()),
            "twin_accuracy_95": _interval(truth, lambda rows: float(correct[rows].mean())),
            "twin_accuracy_allowed": [low, high],
            "passed": {"radial": passed_radial, "twin": bool(low <= correct.mean() <= high)},
        }
        snr = data.params["perturbation_snr"][parts.test]
        draw_sensitivity(out / "audit.png", probability, truth, snr, data.label_names)
        shards.write_text(out / "audit.json", json.dumps(result, indent=1) + "\n")
    return result


def _radial_aucs(data: DataSet, parts: Split) -> dict[str, tuple[float, Interval]]:
    """AUC of radial features for each class against none, with its 95% interval."""
    features = radial_features(data.image)
    none = data.label_names.index(NONE)
    found = {}
    for number, name in enumerate(data.label_names):
        if name == NONE:
            continue
        train, test = (
            rows[np.isin(data.label[rows], [none, number])] for rows in (parts.train, parts.test)
        )
        model = radial_classifier().fit(features[train], data.label[train] == number)
        score, truth = model.predict_proba(features[test])[:, 1], data.label[test] == number

        def auc(
            rows: NDArray[np.int64],
            truth: NDArray[np.bool_] = truth,
            score: NDArray[np.float64] = score,
        ) -> float:
            return float(roc_auc_score(truth[rows], score[rows]))

        found[name] = (auc(np.arange(len(test))), _interval(truth, auc))
    return found


def _interval(truth: NDArray[Any], statistic: Callable[[NDArray[np.int64]], float]) -> Interval:
    """95% interval of a statistic of the test images, by resampling those of each class."""
    rng = np.random.default_rng(0)
    classes = [np.flatnonzero(truth == each) for each in np.unique(truth)]
    values = [
        statistic(np.concatenate([rng.choice(members, len(members)) for members in classes]))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _twin_probabilities(data: DataSet, parts: Split, config: AuditConfig) -> NDArray[np.float64]:
    """(N_test, C) probabilities of a small network that sees the twin residuals."""
    pl.seed_everything(config.seed, verbose=False)
    memory = InMemory(dataclasses.replace(data, image=twin_residuals(data)))
    batch_size = config.batch_size
    train = loader(memory, BatchIndices(parts.train, batch_size, shuffle=True, seed=config.seed))
    test = loader(memory, BatchIndices(parts.test, batch_size, shuffle=False))
    module = ResidualNet(config, len(data.label_names), config.epochs * len(train))
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
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
            # A maximum of what is positive is the same, with a quarter of the pixels left to clip.
            stages += [nn.BatchNorm2d(after), nn.MaxPool2d(2), nn.ReLU()]
        # On a CPU these few channels go through twice as fast when they lie side by side.
        self.stages = nn.Sequential(*stages).to(memory_format=torch.channels_last)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * widths[-1], classes))

    def forward(self, residual: Tensor) -> Tensor:
        """Logits (B, C) of residuals (B, 1, H, W)."""
        # Half of what a bright vortex leaves is far beyond the noise.
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
