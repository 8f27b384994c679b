"""Classification of an image into the classes of its data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from learn.baselines.detection_statistics import DetectionBaseline
from learn.baselines.radial import RadialBaseline
from learn.data import Batch
from learn.data_description import DataDescription
from learn.lens_fits.lens_fits import LensFits
from learn.networks.head import Head
from learn.reporting.figures.classify import draw_confusion, draw_roc
from learn.reporting.tasks.classify import REPORT
from learn.splits import Split
from learn.tasks.base import FeatureTask
from learn.tasks.binning import BinnedParams
from learn.tasks.data_needs import CLASSIFY
from learn.tasks.intervals import Measures
from lensphys.ground.errors import InputError
from simulate.dataset.padding import mark_padding
from simulate.shards import DataSet

#: Measures of the baselines.
_BESIDE = ("accuracy", "macro_auc", "auc", "ece")


class Classify(FeatureTask):
    """A probability for each class of the data set."""

    report = REPORT
    data_needs = CLASSIFY
    judges_all = True

    class Params(BinnedParams):
        """Parameters of the task."""

        label_smoothing: float = Field(ge=0, lt=1)
        sees_fit: bool = Field(
            False, description="the head receives parameters, errors and chi^2 of the lens fit"
        )

    @classmethod
    def inputs(cls, data: DataSet) -> NDArray[np.float32]:
        if len(data.label_names) < 2:
            raise InputError(f"{data.path} has one class only; classification needs two")
        return data.image

    @classmethod
    def must_match(cls, data: DataDescription) -> dict[str, Any]:
        return super().must_match(data) | {"label_names": data.label_names}

    def build_head(self, params: Params, data: DataDescription) -> None:
        self.label_names, classes = data.label_names, len(data.label_names)
        self.params = params
        sees_fit = params.sees_fit and self.lens_fitting is not None
        self.head = Head(self.encoder.width, classes, sees_fit=sees_fit)
        self.radial = RadialBaseline(classes)
        self.detection = None if self.lens_fitting is None else DetectionBaseline(classes)

    def predict_batch(self, batch: Batch) -> Tensor:
        return self.outputs(batch).softmax(1)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(
            self.outputs(batch), batch.label, label_smoothing=self.params.label_smoothing
        )

    def validation_score(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.outputs(batch), batch.label)

    def calibrate(
        self, predictions: Tensor, data: DataSet, split: Split, fits: LensFits | None = None
    ) -> None:
        label = data.label[split.train]
        self.radial.fit_classes(mark_padding(data, split.train), label)
        if self.detection is not None:
            assert fits is not None
            train = torch.from_numpy(split.train)
            self.detection.fit_classes(fits.without_channels().rows(train), label)

    def measure(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        fits: LensFits | None = None,
    ) -> dict[str, Any]:
        truth, names = data.label[rows], data.label_names
        metrics = classification_metrics(predictions.double().numpy(), truth, names)
        for who, probability in self._baselines(data, rows, fits).items():
            beside = classification_metrics(probability, truth, names)
            metrics |= {f"{who}_{name}": beside[name] for name in _BESIDE}
        return metrics

    def parts(self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]) -> Measures:
        probability, truth = predictions.double().numpy(), data.label[rows]
        classes = np.unique(truth)

        def measure(take: NDArray[np.int64]) -> dict[str, float]:
            found = classification_metrics(probability[take], truth[take], data.label_names)
            whole = np.array_equal(np.unique(truth[take]), classes)
            names = ("accuracy", "macro_auc") if whole else ("accuracy",)
            return {name: found[name] for name in names if found[name] is not None}

        return measure

    def draw(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        metrics: dict[str, Any],
        folder: Path,
        fits: LensFits | None = None,
    ) -> None:
        probability = {"encoder": predictions.double().numpy()}
        probability |= self._baselines(data, rows, fits)
        draw_roc(folder / "roc.png", probability, data.label[rows], data.label_names)
        matrix = np.array(metrics["confusion"])
        draw_confusion(folder / "confusion.png", matrix, data.label_names)

    def _baselines(
        self, data: DataSet, rows: NDArray[np.int64], fits: LensFits | None
    ) -> dict[str, NDArray[np.float64]]:
        """Probabilities by the baselines, of the images ``rows`` and their fits."""
        found = {"radial": self.radial.probabilities(mark_padding(data, rows))}
        if self.detection is not None:
            assert fits is not None
            found["detection"] = self.detection.probabilities(fits)
        return found

    def table(self, predictions: Tensor) -> dict[str, NDArray[Any]]:
        probability = predictions.numpy()
        columns = {f"p_{name}": probability[:, i] for i, name in enumerate(self.label_names)}
        predicted = np.array(self.label_names)[probability.argmax(1)]
        return {"predicted": predicted, "score": probability.max(1), **columns}


def classification_metrics(
    probability: NDArray[np.float64], truth: NDArray[np.int64], names: list[str]
) -> dict[str, Any]:
    """Accuracy, AUC of each class against the rest, F1 and the confusion matrix.

    Args:
        probability: (N, C) predicted.
        truth: (N,) classes.
        names: of the classes.

    Returns:
        ``accuracy``, ``macro_auc``, ``auc`` and ``f1`` (by class name), ``confusion`` (rows true),
        ``ece``. ``auc`` leaves out a class that has no images, or all of them; ``macro_auc`` is
        None where none is left. An image whose probabilities are NaN has no class: it counts as
        wrong, and is in neither ``confusion`` nor ``ece``.
    """
    known = np.isfinite(probability).all(1)
    predicted = np.where(known, probability.argmax(1), -1)
    labels = list(range(len(names)))
    f1 = f1_score(truth, predicted, average=None, labels=labels, zero_division=0)
    auc = {
        # Beyond both ends of probabilities, on the wrong side.
        name: float(roc_auc_score(truth == i, np.where(known, probability[:, i], wrong)))
        for i, name in enumerate(names)
        for wrong in [np.where(truth == i, -1.0, 2.0)]
        if 0 < (truth == i).sum() < len(truth)
    }
    return {
        "accuracy": float((predicted == truth).mean()),
        "macro_auc": float(np.mean(list(auc.values()))) if auc else None,
        "auc": auc,
        "f1": dict(zip(names, f1.tolist(), strict=True)),
        "confusion": confusion_matrix(truth[known], predicted[known], labels=labels).tolist(),
        "ece": calibration_error(probability[known], truth[known]),
    }


def calibration_error(
    probability: NDArray[np.float64], truth: NDArray[np.int64], bins: int = 15
) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599, eq. 3).

    In double precision; that of torchmetrics is in single, and off in the sixth digit.

    Args:
        probability: (N, C) predicted.
        truth: (N,) classes.
        bins: of equal width, in the probability of the predicted class.

    Returns:
        The modulus of accuracy less confidence, averaged over images by their bins.
    """
    confidence, correct = probability.max(1), probability.argmax(1) == truth
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(which, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(truth))
