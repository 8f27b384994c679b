"""Monitoring of an encoder while it learns: probes, and signs of collapse.

Measured on images that it is not trained on. Their labels serve the probes and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from learn.config import MonitorConfig

if TYPE_CHECKING:
    from learn.methods.base import Method

#: A run has collapsed where its features span fewer directions than this, ...
RANK_FLOOR = 1.5
#: ... or differ from image to image by less than this part of their length, ...
SPREAD_FLOOR = 3e-3
#: ... or where its loss is within this part of that of a network that sees no difference.
LOSS_MARGIN = 0.01

MEASURES = ("linear_probe", "knn", "rank", "spread", "teacher_distance")

_NEIGHBOURS = 20
_BATCH = 256


class Monitor(Callback):
    """Measures every few epochs, and at the last.

    Args:
        config: the interval, in epochs, and the number of images.
        image: held-out images (N, 1, H, W).
        label: (N,) their classes.
        blind_losses: losses by name, of a network that sees no difference.
    """

    def __init__(
        self,
        config: MonitorConfig,
        image: Tensor,
        label: NDArray[np.int64],
        blind_losses: dict[str, float],
    ) -> None:
        self._every, self._image, self._label = config.every, image, label
        self._blind = blind_losses
        #: Measures of the epoch that has just ended; empty where it was not measured.
        self.measured: dict[str, float] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.measured = {}
        metrics = trainer.callback_metrics  # averaged over the processes: all must ask
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs
        if not trainer.is_global_zero or (epoch % self._every and epoch != last):
            return
        self.measured = measure(module, self._image, self._label)  # type: ignore[arg-type]
        values = {name: float(value) for name, value in metrics.items()} | self.measured
        self.measured["collapsed"] = int(bool(signs_of_collapse(values, self._blind)))
        if trainer.logger:
            trainer.logger.log_metrics(self.measured, trainer.global_step)


def measure(module: Method, image: Tensor, label: NDArray[np.int64]) -> dict[str, float]:
    """Probes and statistics of the features of the encoder that a method would leave.

    Returns:
        ``rank`` (effective rank), ``spread`` (of the features over the images); ``linear_probe``
        and ``knn`` (accuracy, fitted on one half of the images and tested on the other) where there
        are several classes and all features are numbers; ``teacher_distance`` (relative) where
        there is a teacher.
    """
    features = features_of(module, image)
    if np.isfinite(features).all():
        values = {"rank": effective_rank(features), "spread": relative_spread(features)}
        if len(np.unique(label[::2])) > 1:
            values |= probes(features, label)
    else:
        values = {"rank": math.nan, "spread": math.nan}
    teacher = getattr(module, "teacher", None)
    if teacher is not None:
        values["teacher_distance"] = parameter_distance(module.encoder, teacher)
    return values


@torch.no_grad()
def features_of(module: Method, image: Tensor) -> NDArray[np.float64]:
    """Features (N, D) of images (N, 1, H, W), as the module's exported encoder gives them."""
    encoder = module.exported
    training = encoder.training
    encoder.eval()
    parts = [
        encoder.features(module.stretch(part.to(module.device))).double().cpu()
        for part in image.split(_BATCH)
    ]
    encoder.train(training)
    return torch.cat(parts).numpy()


def effective_rank(features: NDArray[np.float64]) -> float:
    """RankMe (Garrido et al. 2023, arXiv:2210.02885, eq. 1): directions that features (N, D) span.

    The exponential of the entropy of the singular values; 1 where the features lie on a line. Their
    mean is taken off first: cutouts of lenses are much alike, and what they share would hide the
    rest.
    """
    singular = np.linalg.svd(features - features.mean(0), compute_uv=False)
    part = singular / max(float(singular.sum()), 1e-300) + 1e-7
    return float(np.exp(-(part * np.log(part)).sum()))


def relative_spread(features: NDArray[np.float64]) -> float:
    """Spread of features (N, D) over the images, relative to their root mean square."""
    length = math.sqrt(float((features**2).mean()))
    return math.sqrt(float(features.var(0).mean())) / max(length, 1e-300)


def probes(features: NDArray[np.float64], label: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy of logistic regression and of nearest neighbours: fitted on every other image."""
    fit, test = slice(None, None, 2), slice(1, None, 2)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    neighbours = KNeighborsClassifier(
        min(_NEIGHBOURS, len(features[fit])), metric="cosine", weights="distance"
    )
    return {
        name: float(probe.fit(features[fit], label[fit]).score(features[test], label[test]))
        for name, probe in (("linear_probe", linear), ("knn", neighbours))
    }


@torch.no_grad()
def parameter_distance(student: torch.nn.Module, teacher: torch.nn.Module) -> float:
    """Distance of the teacher's trained parameters from the student's, over their length."""
    pairs = [
        (s, t)
        for s, t in zip(student.parameters(), teacher.parameters(), strict=True)
        if s.requires_grad
    ]
    apart = sum(float((s - t).double().pow(2).sum()) for s, t in pairs)
    return math.sqrt(apart / sum(float(s.double().pow(2).sum()) for s, _ in pairs))


def signs_of_collapse(values: Mapping[str, float], blind: Mapping[str, float]) -> list[str]:
    """Signs that a run has collapsed, in plain words; none where it has not.

    Args:
        values: measures of :func:`measure`, and the losses of the epoch (``train_<name>``).
        blind: ``blind_losses`` of the method.
    """
    signs = []
    if not values["rank"] >= RANK_FLOOR:
        signs.append(f"the features span {values['rank']:.2f} directions (fewer than {RANK_FLOOR})")
    if not values["spread"] >= SPREAD_FLOOR:
        signs.append(
            f"the features differ from image to image by {values['spread']:.2g} of their length "
            f"(less than {SPREAD_FLOOR})"
        )
    for name, level in blind.items():
        loss = values[f"train_{name}"]
        if not abs(loss - level) >= LOSS_MARGIN * level:
            signs.append(
                f"{name} is {loss:.4g}, and that of a network which sees no difference between "
                f"images is {level:.4g}"
            )
    return signs


def last_measured(
    curves: Sequence[Mapping[str, str]], blind: Mapping[str, float]
) -> dict[str, Any] | None:
    """The last measurement in a ``metrics.csv``, with the signs of collapse in words."""
    rows = [row for row in curves if row.get("collapsed")]
    if not rows:
        return None
    values = {name: float(value) for name, value in rows[-1].items() if value}
    measured = {name: values[name] for name in MEASURES if name in values}
    signs = signs_of_collapse(values, blind)
    return measured | {"collapsed": int(bool(signs)), "signs_of_collapse": signs}
