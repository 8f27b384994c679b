"""Which dark matter: classification of an image into the classes of its data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from learn.data import Batch, Split
from learn.figures import draw_confusion, draw_roc
from learn.radial import radial_classifier, radial_features
from learn.tasks.base import Task
from simulate.config import Strict
from simulate.errors import InputError
from simulate.shards import DataSet


class Classify(Task):
    """Linear head on the features of an image: of a vision transformer, the mean of its tokens."""

    default_data = ("data/model3", "data/model1", "data/model2")
    needs = "python cli.py simulate --model 3 --n 15000"

    class Params(Strict):
        """Parameters of the task."""

        label_smoothing: float = Field(ge=0, lt=1)

    @classmethod
    def serves(cls, data_config: dict[str, Any]) -> bool:
        return len(data_config["classes"]) > 1

    @classmethod
    def inputs(cls, data: DataSet) -> NDArray[np.float32]:
        if len(data.label_names) < 2:
            raise InputError(f"{data.path} has one class only; classification needs two")
        return data.image

    def setup_head(self, params: Params, data: DataSet, train: NDArray[np.int64]) -> None:
        self.label_names, classes = data.label_names, len(data.label_names)
        self.params = params
        width = self.encoder.width
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def predict_batch(self, batch: Batch) -> Tensor:
        return self._logits(batch).softmax(1)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(
            self._logits(batch), batch.label, label_smoothing=self.params.label_smoothing
        )

    def validation_score(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self._logits(batch), batch.label)

    def evaluate(
        self, predictions: Tensor, data: DataSet, split: Split, folder: Path
    ) -> dict[str, Any]:
        truth, names = data.label[split.test], data.label_names
        probability = predictions.double().numpy()
        metrics = classification_metrics(probability, truth, names)

        baseline = radial_classifier()
        baseline.fit(radial_features(data.image[split.train]), data.label[split.train])
        radial = baseline.predict_proba(radial_features(data.image[split.test]))
        radial_metrics = classification_metrics(radial, truth, names)
        metrics |= {f"radial_{k}": radial_metrics[k] for k in ("accuracy", "macro_auc", "auc")}

        draw_roc(folder / "roc.png", {"encoder": probability, "radial": radial}, truth, names)
        draw_confusion(folder / "confusion.png", np.array(metrics["confusion"]), names)
        return metrics

    def table(self, predictions: Tensor) -> dict[str, NDArray[Any]]:
        probability = predictions.numpy()
        columns = {f"p_{name}": probability[:, i] for i, name in enumerate(self.label_names)}
        return {"predicted": np.array(self.label_names)[probability.argmax(1)], **columns}

    def _logits(self, batch: Batch) -> Tensor:
        return self.head(self.encoder.features(self.stretch(batch.image)))  # type: ignore[no-any-return]


def classification_metrics(
    probability: NDArray[np.float64], truth: NDArray[np.int64], names: list[str]
) -> dict[str, Any]:
    """Accuracy, AUC of each class against the rest, F1 and the confusion matrix.

    Args:
        probability: (N, C) predicted.
        truth: (N,) classes.
        names: of the classes.

    Returns:
        ``accuracy``, ``macro_auc``, ``auc`` and ``f1`` (by class name), ``confusion`` (rows true).
    """
    predicted = probability.argmax(1)
    labels = list(range(len(names)))
    f1 = f1_score(truth, predicted, average=None, labels=labels, zero_division=0)
    auc = {
        name: float(roc_auc_score(truth == i, probability[:, i])) for i, name in enumerate(names)
    }
    return {
        "accuracy": float((predicted == truth).mean()),
        "macro_auc": float(np.mean(list(auc.values()))),
        "auc": auc,
        "f1": dict(zip(names, f1.tolist(), strict=True)),
        "confusion": confusion_matrix(truth, predicted, labels=labels).tolist(),
    }
