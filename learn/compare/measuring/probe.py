"""Linear probes: logistic regression on features that are not trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from learn.baselines.radial import radial_classifier
from learn.compare.showing.accuracy_by_signal import count_by_signal
from learn.data import Split
from learn.tasks.classify import classification_metrics
from simulate.shards import DataSet

Features = NDArray[np.float64]


def probe(
    features: Features, data: DataSet, parts: Split, strengths: tuple[float, ...]
) -> dict[str, Any]:
    """Metrics on the test images, of the regression that is the best on the validation images.

    Args:
        features: (N, D) of all images.
        data: their labels.
        parts: for training, choice and test.
        strengths: inverse regularisations to choose from.

    Returns:
        The metrics of classification, the ``strength`` that was chosen, and the ``sensitivity``.
    """
    label, classes = data.label, np.arange(len(data.label_names))
    fitted = {}
    for strength in strengths:
        model = radial_classifier().set_params(logisticregression__C=strength)
        model.fit(features[parts.train], label[parts.train])
        probability = model.predict_proba(features[parts.validation])
        fitted[strength] = (
            log_loss(label[parts.validation], probability, labels=classes),
            model,
        )
    strength, (_, model) = min(fitted.items(), key=lambda item: item[1][0])
    probability = model.predict_proba(features[parts.test])
    truth = label[parts.test]
    metrics = classification_metrics(probability, truth, data.label_names)
    counts = count_by_signal(probability.argmax(1) == truth, data, parts.test)
    return metrics | {"strength": strength, "sensitivity": counts}
