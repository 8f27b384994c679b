"""The trivial baseline of every task: linear models on radial features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from learn.baselines.linear import Features, LinearBaseline, linear_classifier

_RINGS = 20
_FLOOR = 1e-6  # of the peak: keeps the logarithm finite where an image is dark


class RadialBaseline(LinearBaseline[NDArray[np.float32]]):
    """A linear model on the radial features of images (N, 1, H, W)."""

    width = 2 * _RINGS + 2
    strength = 10.0

    @staticmethod
    def features(given: NDArray[np.float32]) -> Features:
        return radial_features(given)


def radial_features(images: NDArray[np.float32]) -> Features:
    """42 numbers an image that depend on the distance of pixels from the centre alone.

    Logarithms of the mean and the standard deviation in 20 rings of one pixel, of the maximum and
    of the sum. Pixels that are NaN, as padding is, do not count; a ring without others has the
    numbers of the one inside it.

    Args:
        images: (N, 1, H, W) or (N, H, W).

    Returns:
        (N, 42) features.
    """
    stack = images.reshape(len(images), *images.shape[-2:]).astype(np.float64)
    ny, nx = stack.shape[-2:]
    y, x = np.indices((ny, nx))
    radius = np.hypot(x - (nx - 1) / 2, y - (ny - 1) / 2)
    padded = bool(np.isnan(stack).any())
    columns: list[NDArray[np.float64]] = []
    for ring in range(_RINGS):
        inside = stack[:, (radius >= ring) & (radius < ring + 1)]
        if not inside.size:  # outside of a small image
            inside = np.zeros((len(stack), 1))
        columns += _measure_shown(inside, columns) if padded else [inside.mean(1), inside.std(1)]
    if padded:
        columns += [np.nanmax(stack, (1, 2)), np.nansum(stack, (1, 2))]
    else:
        columns += [stack.max((1, 2)), stack.sum((1, 2))]
    features = np.stack(columns, axis=1)
    features = np.maximum(features, _FLOOR * np.median(columns[-2]))
    logarithms: Features = np.log(features)
    return logarithms


def _measure_shown(
    ring: NDArray[np.float64], before: list[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Mean and standard deviation of the pixels (N, n) of a ring that are not NaN.

    Args:
        ring: the pixels.
        before: columns of the rings inside it, which are taken where all of them are NaN.
    """
    shown = ~np.isnan(ring)
    count = shown.sum(1)
    mean = np.where(shown, ring, 0.0).sum(1) / count.clip(1)
    square = np.where(shown, ring - mean[:, None], 0.0) ** 2
    found = [mean, np.sqrt(square.sum(1) / count.clip(1))]
    if before:
        found = [np.where(count, own, last) for own, last in zip(found, before[-2:], strict=True)]
    return found


def radial_classifier() -> Pipeline:
    """Standardised features, multinomial logistic regression."""
    return linear_classifier(RadialBaseline.strength)
