"""Linear probes: logistic regression on features that are not trained."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from learn.baselines.linear import linear_classifier
from learn.compare.measuring.sensitivity import count_by_signal
from learn.splits import Split
from learn.tasks.classify import classification_metrics
from simulate.shards import DataSet

Features = NDArray[np.float64]


def probe(
    choices: Sequence[Features], data: DataSet, parts: Split, strengths: tuple[float, ...]
) -> dict[str, Any]:
    """Metrics on the test images, of the regression that is the best on the validation images.

    Args:
        choices: features (N, D) of all images; of several sets the regression takes one.
        data: their labels.
        parts: for training, choice and test.
        strengths: inverse regularisations to choose from.

    Returns:
        The metrics of classification, the ``strength`` that was chosen, and the ``sensitivity``.
    """
    label, classes = data.label, np.arange(len(data.label_names))
    fitted = {}
    for (number, features), strength in itertools.product(enumerate(choices), strengths):
        model = linear_classifier(strength)
        model.fit(features[parts.train], label[parts.train])
        probability = model.predict_proba(features[parts.validation])
        fitted[number, strength] = (
            log_loss(label[parts.validation], probability, labels=classes),
            model,
        )
    (number, strength), (_, model) = min(fitted.items(), key=lambda item: item[1][0])
    probability = model.predict_proba(choices[number][parts.test])
    metrics = classification_metrics(probability, label[parts.test], data.label_names)
    counts = count_by_signal(probability, data, parts.test)
    return metrics | {"strength": strength, "sensitivity": counts}
