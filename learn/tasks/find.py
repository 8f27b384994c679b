"""Lens finding: tell lenses from galaxies that look like them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve
from torch import Tensor
from torch.nn import functional as F

from learn.baselines.radial import RadialBaseline
from learn.data import Batch
from learn.data_description import DataDescription
from learn.lens_fits.lens_fits import LensFits
from learn.networks.head import Head
from learn.reporting.figures.find import draw_finder, draw_look_alikes
from learn.reporting.tasks.find import REPORT
from learn.splits import Split
from learn.tasks.base import FeatureTask
from learn.tasks.binning import BinnedParams
from learn.tasks.data_needs import FIND
from learn.tasks.intervals import Measures
from lensphys.ground.errors import InputError
from simulate.config import NON_LENS
from simulate.dataset.padding import mark_padding
from simulate.light.look_alikes import NON_LENS_KINDS
from simulate.shards import Array, DataSet

#: The column with the kind of a look-alike.
_KIND = "non_lens_kind"
#: Lenses are few among galaxies, so a finder is used where few of these pass.
_RATES = {"1e-2": 1e-2, "1e-3": 1e-3}
#: Log odds beyond those of any image.
_FARTHEST = 1e300


class Find(FeatureTask):
    """The log odds that an image shows a lens.

    The threshold is that of the greatest F1 (the harmonic mean of completeness and purity) on the
    validation images.
    """

    report = REPORT
    data_needs = FIND
    judges_all = True
    of_lenses = False

    threshold: Tensor
    radial_threshold: Tensor

    class Params(BinnedParams):
        """Parameters of the task."""

        sees_fit: bool = Field(
            False, description="the head receives parameters, errors and chi^2 of the lens fit"
        )

    @classmethod
    def inputs(cls, data: DataSet) -> NDArray[np.float32]:
        lacking = NON_LENS not in data.label_names or not (~_is_lens(data)).any()
        if lacking or not _is_lens(data).any():
            what = "images without a lens" if lacking else "lenses"
            raise InputError(
                f"{data.path} has no {what}, which finding needs; make a data set with "
                f"`{cls.data_needs.command}`"
            )
        return data.image

    def build_head(self, params: Params, data: DataDescription) -> None:
        self.not_a_lens = data.label_names.index(NON_LENS)
        sees_fit = params.sees_fit and self.lens_fitting is not None
        self.head = Head(self.encoder.width, 1, sees_fit=sees_fit)
        self.radial = RadialBaseline(2)
        for name in ("threshold", "radial_threshold"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def predict_batch(self, batch: Batch) -> Tensor:
        """Log odds (B,) of a lens: probabilities near one would be rounded to ties."""
        return self.outputs(batch).squeeze(1)

    def loss(self, batch: Batch) -> Tensor:
        is_lens = (batch.label != self.not_a_lens).float()
        return F.binary_cross_entropy_with_logits(self.predict_batch(batch).float(), is_lens)

    def validation_score(self, batch: Batch) -> Tensor:
        return self.loss(batch)

    def table(self, predictions: Tensor) -> dict[str, Array]:
        odds = predictions.double()
        columns = {
            "p_lens": odds.sigmoid(),
            "log_odds": odds,
            "threshold": self.threshold.cpu().double().sigmoid().expand_as(odds),
            "is_lens": odds >= self.threshold.cpu(),
        }
        return {name: values.numpy() for name, values in columns.items()}

    def calibrate(
        self, predictions: Tensor, data: DataSet, split: Split, fits: LensFits | None = None
    ) -> None:
        is_lens = _is_lens(data)
        labels = is_lens[split.train].astype(np.int64)
        self.radial.fit_classes(mark_padding(data, split.train), labels)
        truth = is_lens[split.validation]
        radial = self._radial_log_odds(data, split.validation)
        self.threshold.fill_(best_threshold(predictions.double().numpy(), truth))
        self.radial_threshold.fill_(best_threshold(radial, truth))

    def measure(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        fits: LensFits | None = None,
    ) -> dict[str, Any]:
        truth, log_odds = _is_lens(data)[rows], predictions.double().numpy()
        radial = self._radial_log_odds(data, rows)
        metrics: dict[str, Any] = dict(finding_metrics(log_odds, truth, self.threshold.item()))
        beside = finding_metrics(radial, truth, self.radial_threshold.item())
        metrics |= {f"radial_{name}": value for name, value in beside.items()}
        metrics |= {"lenses": int(truth.sum()), "non_lenses": int((~truth).sum())}
        passed = ~(log_odds < self.threshold.item())  # NaN separates nothing from a lens
        kinds = _kinds(data, rows)
        metrics["false_positive_rate"] = {
            name: float(passed[kinds == k].mean())
            for k, name in enumerate(NON_LENS_KINDS)
            if (kinds == k).any()
        }
        return metrics

    def parts(self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]) -> Measures:
        log_odds, truth = predictions.double().numpy(), _is_lens(data)[rows]

        def measure(take: NDArray[np.int64]) -> dict[str, float]:
            if truth[take].all() or not truth[take].any():
                return {}
            found = finding_metrics(log_odds[take], truth[take], self.threshold.item())
            return self.report.headline_numbers(found)

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
        log_odds = {
            "encoder": (predictions.double().numpy(), self.threshold.item()),
            "radial": (self._radial_log_odds(data, rows), self.radial_threshold.item()),
        }
        draw_finder(folder / "roc.png", log_odds, _is_lens(data)[rows])
        if metrics["false_positive_rate"]:
            kinds = _kinds(data, rows)
            passed = {who: score >= cut for who, (score, cut) in log_odds.items()}
            draw_look_alikes(folder / "look_alikes.png", passed, kinds, NON_LENS_KINDS)

    def records(
        self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        columns = {
            "prediction": torch.sigmoid(predictions.double()).numpy(),
            "log_odds": predictions.numpy(),
            "truth": _is_lens(data)[rows].astype(np.int64),
        }
        return columns, {"threshold": _probability(self.threshold.item())}

    def _radial_log_odds(self, data: DataSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.radial.outputs(mark_padding(data, rows))[:, 1]


def finding_metrics(
    log_odds: NDArray[np.float64], truth: NDArray[np.bool_], threshold: float
) -> dict[str, float]:
    """Metrics of lens finding.

    Args:
        log_odds: (N,) of a lens; one that is NaN counts as wrong.
        truth: (N,) whether it is one; both kinds among them.
        threshold: log odds from which on an image is called a lens.

    Returns:
        ``auc``; ``tpr_at_fpr_1e-2`` and ``tpr_at_fpr_1e-3``, the largest part of the lenses found
        while at most this part of the others passes; and at the threshold, given as a probability,
        ``accuracy``, ``completeness`` (of the lenses, those found) and ``purity`` (of what is
        called a lens, the lenses; 0 where nothing is).
    """
    wrong = np.where(truth, -_FARTHEST, _FARTHEST)
    log_odds = np.where(np.isfinite(log_odds), log_odds, wrong)
    false, true, _ = roc_curve(truth, log_odds, drop_intermediate=False)
    called = log_odds >= threshold
    found = (called & truth).sum()
    return {
        "auc": float(roc_auc_score(truth, log_odds)),
        **{f"tpr_at_fpr_{name}": float(true[false <= rate].max()) for name, rate in _RATES.items()},
        "accuracy": float((called == truth).mean()),
        "completeness": float(found / truth.sum()),
        "purity": float(found / max(1, called.sum())),
        "threshold": _probability(threshold),
    }


def best_threshold(log_odds: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The log odds from which on images (N,) are best called lenses, by the greatest F1.

    Half-way to the next image below, which leaves room on both sides.
    """
    purity, completeness, cuts = precision_recall_curve(truth, log_odds)
    f1 = 2 * purity * completeness / np.maximum(purity + completeness, 1e-12)
    best = int(f1[:-1].argmax())
    return float(cuts[best] if best == 0 else 0.5 * (cuts[best - 1] + cuts[best]))


def _probability(log_odds: float) -> float:
    return float(torch.sigmoid(torch.tensor(log_odds, dtype=torch.float64)))


def _is_lens(data: DataSet) -> NDArray[np.bool_]:
    is_lens: NDArray[np.bool_] = data.label != data.label_names.index(NON_LENS)
    return is_lens


def _kinds(data: DataSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Kind of each look-alike, counted as in :data:`NON_LENS_KINDS`; NaN for lenses."""
    unknown = np.full(len(data), np.nan)
    return np.where(_is_lens(data), np.nan, data.params.get(_KIND, unknown))[rows]
