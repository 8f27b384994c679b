"""The trivial baseline of every task: linear models on radial features."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

_RINGS = 20
_FLOOR = 1e-6  # of the peak: keeps the logarithm finite where an image is dark
_FEATURES = 2 * _RINGS + 2


class RadialBaseline(nn.Module):
    """A linear model on radial features, saved with the weights of a network.

    A run can then be tested anywhere beside the baseline of the same training images.

    Args:
        outputs: classes, or columns.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, _FEATURES, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(outputs, dtype=torch.float64))

    def fit_classes(self, images: NDArray[np.float32], label: NDArray[np.int64]) -> None:
        """Fit logistic regression to images (N, 1, H, W) with labels (N,) of all classes."""
        scaler, model = radial_classifier().fit(radial_features(images), label)
        rows = range(len(self.bias)) if len(self.bias) > 2 else [1]  # of two, one has the logit
        for row, weight, bias in zip(rows, model.coef_, model.intercept_, strict=True):
            self._set(row, scaler, weight, bias)

    def fit_columns(self, images: NDArray[np.float32], columns: NDArray[np.float64]) -> None:
        """Fit a ridge regression of columns (N, K), each on the images where it is not NaN."""
        features = radial_features(images)
        for row, column in enumerate(columns.T):
            known = np.isfinite(column)
            model = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
            scaler, ridge = model.fit(features[known], column[known])
            self._set(row, scaler, ridge.coef_, ridge.intercept_)

    def outputs(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Columns (N, K), or logits of the classes, of images (N, 1, H, W)."""
        weight, bias = self.weight.cpu().numpy(), self.bias.cpu().numpy()
        result: NDArray[np.float64] = radial_features(images) @ weight.T + bias
        return result

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (N, C) of the classes."""
        logits = self.outputs(images)
        result: NDArray[np.float64] = torch.from_numpy(logits).softmax(1).numpy()
        return result

    def _set(
        self, row: int, scaler: StandardScaler, weight: NDArray[np.float64], bias: float
    ) -> None:
        """Store a linear model of standardised features as one of the features themselves."""
        weight = weight / scaler.scale_
        self.weight[row] = torch.from_numpy(weight)
        self.bias[row] = float(bias - weight @ scaler.mean_)


def radial_features(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """42 numbers an image that depend on the distance of pixels from the centre alone.

    Logarithms of the mean and the standard deviation in 20 rings of one pixel, of the maximum and
    of the sum.

    Args:
        images: (N, 1, H, W) or (N, H, W).

    Returns:
        (N, 42) features.
    """
    stack = images.reshape(len(images), *images.shape[-2:]).astype(np.float64)
    ny, nx = stack.shape[-2:]
    y, x = np.indices((ny, nx))
    radius = np.hypot(x - (nx - 1) / 2, y - (ny - 1) / 2)
    columns = []
    for ring in range(_RINGS):
        inside = stack[:, (radius >= ring) & (radius < ring + 1)]
        if not inside.size:  # outside of a small image
            inside = np.zeros((len(stack), 1))
        columns += [inside.mean(1), inside.std(1)]
    columns += [stack.max((1, 2)), stack.sum((1, 2))]
    features = np.stack(columns, axis=1)
    features = np.maximum(features, _FLOOR * np.median(columns[-2]))
    logarithms: NDArray[np.float64] = np.log(features)
    return logarithms


def radial_classifier() -> Pipeline:
    """Standardised features, multinomial logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=2000))
