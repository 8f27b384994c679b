"""Linear models on features of images, saved with the weights of a network."""

from __future__ import annotations

import abc
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

Features = NDArray[np.float64]
GivenT = TypeVar("GivenT")


class LinearBaseline(nn.Module, abc.ABC, Generic[GivenT]):
    """A linear model on features of images that need no network.

    Its weights are saved with those of a network, so that a run can be tested anywhere beside the
    baseline of the same training images. All that it is given is of N images: their pixels, or
    their lens fits.

    Args:
        outputs: classes, or columns.
    """

    #: Number of features of an image.
    width: ClassVar[int]
    #: Inverse regularisation of the classifier.
    strength: ClassVar[float]

    weight: Tensor
    bias: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, self.width, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(outputs, dtype=torch.float64))

    @staticmethod
    @abc.abstractmethod
    def features(given: GivenT) -> Features:
        """Features (N, D) of images."""

    def fit_classes(self, given: GivenT, label: NDArray[np.int64]) -> None:
        """Fit logistic regression to labels (N,), all classes among them."""
        scaler, model = linear_classifier(self.strength).fit(self.features(given), label)
        rows = range(len(self.bias)) if len(self.bias) > 2 else [1]  # of two, one has the logit
        for row, weight, bias in zip(rows, model.coef_, model.intercept_, strict=True):
            self._set(row, scaler, weight, bias)

    def fit_columns(self, given: GivenT, columns: NDArray[np.float64]) -> None:
        """Fit a ridge regression of columns (N, K), each on the images where it is not NaN."""
        features = self.features(given)
        for row, column in enumerate(columns.T):
            known = np.isfinite(column)
            model = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
            scaler, ridge = model.fit(features[known], column[known])
            self._set(row, scaler, ridge.coef_, ridge.intercept_)

    def outputs(self, given: GivenT) -> NDArray[np.float64]:
        """Columns (N, K), or logits of the classes."""
        weight, bias = self.weight.cpu().numpy(), self.bias.cpu().numpy()
        result: NDArray[np.float64] = self.features(given) @ weight.T + bias
        return result

    def probabilities(self, given: GivenT) -> NDArray[np.float64]:
        """Probabilities (N, C) of the classes."""
        logits = self.outputs(given)
        result: NDArray[np.float64] = torch.from_numpy(logits).softmax(1).numpy()
        return result

    def _set(
        self, row: int, scaler: StandardScaler, weight: NDArray[np.float64], bias: float
    ) -> None:
        """Store a linear model of standardised features as one of the features themselves."""
        weight = weight / scaler.scale_
        self.weight[row] = torch.from_numpy(weight)
        self.bias[row] = float(bias - weight @ scaler.mean_)


def linear_classifier(strength: float) -> Pipeline:
    """Standardised features, multinomial logistic regression.

    Args:
        strength: inverse regularisation.
    """
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
