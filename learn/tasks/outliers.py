"""Flags of images that are unlike those a network was trained on."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from learn.lens_fits.features import FEATURES, fit_features
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.usual_lens import UsualLens

#: The flags, in words.
POOR, UNLIKE, NOT_COMPUTED = "poor fit", "unlike training", "not computed"
#: The tests, in the order of their limits, and the flags of images beyond these.
TESTS = {"chi2_dof": POOR, "distance": UNLIKE}
#: Parts of the images, of which each is compared with the others.
_FOLDS = 10
#: Fewest images that others are compared with; no test is learned from fewer.
LEAST_IMAGES = 3
#: Scatter of a feature below which it is rounding.
_CONSTANT = 1e-6


@dataclasses.dataclass(frozen=True)
class Resemblance:
    """Resemblance of N images to those that a network was trained on.

    Attributes:
        chi2_dof: (N,) chi^2 over the degrees of freedom of the lens fits; None without fits.
        distance: (N,) from ordinary images, in units of their scatter.
        flags: (N,) words; empty for an ordinary image.
    """

    chi2_dof: NDArray[np.float64] | None
    distance: NDArray[np.float64]
    flags: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.flags)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """(N,) true for images with a flag."""
        return np.asarray(self.flags != "", np.bool_)

    def has(self, flag: str) -> NDArray[np.bool_]:
        """(N,) true for images with this flag, alone or beside others."""
        return np.char.find(self.flags, flag) >= 0

    def rows(self, indices: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """The resemblance of some of the images."""
        chi2 = None if self.chi2_dof is None else self.chi2_dof[indices]
        return type(self)(chi2, self.distance[indices], self.flags[indices])

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Its numbers (N,) by name."""
        chi2 = {} if self.chi2_dof is None else {"chi2_dof": self.chi2_dof}
        return chi2 | {"distance": self.distance}


class OutlierTest(nn.Module):
    """Two one-sided tests of whether an image is like those of the training.

    The first is of chi^2 of the lens fit, where there is one. The second is of the Mahalanobis
    distance of the features of an image from their mean, with the covariance shrunk as in Ledoit &
    Wolf (2004, J. Multivariate Anal. 88, 365). Both limits are quantiles of ordinary images, each
    compared with the other nine tenths of them, and leave the same number of them beyond each, so
    that a given fraction is beyond one or the other. No labels are used.

    Args:
        width: of the features.
        sees_fits: features are those of lens fits.
    """

    mean: Tensor
    whitening: Tensor
    limits: Tensor

    def __init__(self, width: int, *, sees_fits: bool) -> None:
        super().__init__()
        self.usual_lens = UsualLens() if sees_fits else None
        width = FEATURES if sees_fits else width
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("whitening", torch.zeros(width, width))
        self.register_buffer("limits", torch.full((len(TESTS),), torch.inf, dtype=torch.float64))

    def learn_fits(self, fits: LensFits, rate: float) -> None:
        """Learn from the lens fits of images; see :meth:`learn`."""
        assert self.usual_lens is not None
        self.usual_lens.learn(fits)
        self.learn(self._features(fits), fits.chi2_dof, rate)

    @torch.no_grad()
    def learn(self, features: Tensor, chi2_dof: Tensor | None, rate: float) -> None:
        """Take the scatter of ordinary images, and the limits, from images of no particular order.

        Args:
            features: (N, F) of images that are as new to the network as those to be tested.
            chi2_dof: (N,) of their lens fits; None without.
            rate: fraction of such images that is flagged. Fewer images than its inverse have a
                higher rate: each limit is then the highest of them.
        """
        if len(features) < LEAST_IMAGES:
            return
        distance = torch.empty(len(features), dtype=torch.float64)
        part = torch.arange(len(features)) % _FOLDS
        for fold in range(_FOLDS):
            others = _find_scatter(features[part != fold])
            distance[part == fold] = _distance(features[part == fold], *others).cpu()
        mean, whitening = _find_scatter(features)
        self.mean.copy_(mean)
        self.whitening.copy_(whitening)
        chi2 = [] if chi2_dof is None else [chi2_dof.double().cpu()]
        limits = find_limits(torch.stack([*chi2, distance], 1).numpy(), rate)
        self.limits[-len(limits) :] = torch.from_numpy(limits)

    @torch.no_grad()
    def judge(self, features: Tensor, chi2_dof: Tensor | None) -> Resemblance:
        """Test images by their features (N, F) and chi^2 (N,), where they have lens fits."""
        distance = _distance(features, self.mean, self.whitening).cpu().numpy()
        chi2 = None if chi2_dof is None else chi2_dof.double().cpu().numpy()
        limits = dict(zip(TESTS, self.limits.tolist(), strict=True))
        unjudged = Resemblance(chi2, distance, np.full(len(distance), ""))
        beyond = {TESTS[name]: x > limits[name] for name, x in unjudged.columns.items()}
        rows = zip(*beyond.values(), strict=True)
        flags = ["; ".join(itertools.compress(beyond, row)) for row in rows]
        return dataclasses.replace(unjudged, flags=np.array(flags, dtype=np.str_))

    def judge_fits(self, fits: LensFits) -> Resemblance:
        """Test images by their lens fits."""
        return self.judge(self._features(fits), fits.chi2_dof)

    def _features(self, fits: LensFits) -> Tensor:
        """Features (N, F) of the lens fits of images."""
        assert self.usual_lens is not None
        return fit_features(self.usual_lens.compare(fits))


def find_limits(scores: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Limits (T,) of several tests that as many images exceed each, and a fraction at least one.

    Args:
        scores: (N, T) of ordinary images.
        rate: the fraction of other images like these that exceeds one limit or more, or, for fewer
            images than its inverse, 1 / (N + 1) for each test.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    # The place of each image from the top of each test, of which the first counts.
    place = np.argsort(order, axis=0, kind="stable").min(1)
    # One more image is as likely to come before, between or after these.
    allowed = rate * (len(scores) + 1) - 1
    beyond = 0
    while beyond + 1 < len(scores) and (place <= beyond).sum() <= allowed:
        beyond += 1
    limits: NDArray[np.float64] = np.take_along_axis(scores, order, 0)[beyond]
    return limits


def _find_scatter(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) of features, and the matrix (F, F) that makes their scatter round and one."""
    known = features.double().cpu().numpy()
    mean, std = known.mean(0), known.std(0)
    std = np.where(std > _CONSTANT, std, 1.0)
    covariance, _ = ledoit_wolf((known - mean) / std, assume_centered=True)
    variance, axes = np.linalg.eigh(covariance)
    whitening = (axes / np.sqrt(np.maximum(variance, _CONSTANT))).T / std
    # Per feature, so that distances of networks of any width are about one.
    return torch.from_numpy(mean), torch.from_numpy(whitening / np.sqrt(len(mean)))


def _distance(features: Tensor, mean: Tensor, whitening: Tensor) -> Tensor:
    """Distances (N,) of features (N, F), about one; infinite for what is no number."""
    offset = features.double() - mean.to(features.device)
    distance = (offset @ whitening.to(offset).mT).norm(dim=1)
    return distance.nan_to_num(torch.inf, torch.inf)
