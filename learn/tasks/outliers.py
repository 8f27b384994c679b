"""Flags of images that are unlike those a network was trained on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from learn.lens_fits.features import FEATURES
from learn.lens_fits.usual_lens import UsualLens
from learn.tasks.misfit import MISFIT

Array = NDArray[np.float64]

#: The flags, in words.
POOR, UNLIKE, NOT_COMPUTED = "poor fit", "unlike training", "not computed"
NOT_LENS = "not a lens?"
#: The numbers that are tested, in the order of their limits, and the flags of what is beyond these.
TESTS = {"radius_error": NOT_LENS, "misfit": POOR, "distance": UNLIKE}
#: Parts of the images, of which each is compared with the others.
_FOLDS = 10
#: Fewest images that others are compared with; no test is learned from fewer.
LEAST_IMAGES = 3
#: Fraction of the images that the scatter is taken from, and steps that find them.
_CROWD, _STEPS = 0.9, 5
#: Scatter of a feature below which it is rounding.
_CONSTANT = 1e-6


@dataclasses.dataclass(frozen=True)
class Resemblance:
    """Resemblance of N images to those that a network was trained on.

    Attributes:
        columns: (N,) numbers by name: ``distance`` from ordinary images in units of their scatter,
            and with lens fits ``chi2_dof``, ``radius_error``, that of the Einstein radius over the
            radius, and ``misfit``, the distance of their residuals.
        flags: (N,) words; empty for an ordinary image.
    """

    columns: dict[str, NDArray[np.float64]]
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
        columns = {name: column[indices] for name, column in self.columns.items()}
        return type(self)(columns, self.flags[indices])


class Observed(NamedTuple):
    """Numbers of N images that are tested."""

    features: Tensor
    """(N, F) of their lens fits, or of the encoder without"""
    misfit: Tensor | None = None
    """(N, 2) of the residuals of their lens fits, see :mod:`learn.tasks.misfit`; None without"""
    chi2_dof: Tensor | None = None
    """(N,) of their lens fits, which is not tested; None without"""
    radius_error: Tensor | None = None
    """(N,) of their lens fits, see :attr:`learn.lens_fits.lens_fits.LensFits.radius_error`; None
    without, or where images need not be lenses"""

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Several batches as one."""
        features, *others = zip(*parts, strict=True)
        seen = [None if column[0] is None else torch.cat(column) for column in others]
        return cls(torch.cat(features), *seen)


class Scatter(nn.Module):
    """Mean and covariance of features, and the Mahalanobis distance from them.

    They are those of the nine tenths that are nearest, found by the concentration steps of
    Rousseeuw & Van Driessen (1999, Technometrics 41, 212): a few failed fits would widen the
    scatter of all. The covariance is shrunk as in Ledoit & Wolf (2004, J. Multivariate Anal. 88,
    365), in units of the scatter of each feature.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("whitening", torch.zeros(width, width))

    def learn(self, features: Tensor) -> None:
        """Take the scatter of features (N, F)."""
        known = features.double().cpu().numpy()
        middle = np.median(known, 0)
        spread = np.median(np.abs(known - middle), 0)
        scaled = (known - middle) / np.where(spread > _CONSTANT, spread, 1.0)
        # Far out it does not matter where, or one feature would decide.
        distance = np.square(np.arcsinh(scaled)).sum(1)
        kept = max(1, round(_CROWD * len(known)))
        for _ in range(_STEPS):
            nearest = np.argsort(distance, kind="stable")[:kept]
            mean, whitening = _whiten(known[nearest])
            distance = np.square((known - mean) @ whitening.T).sum(1)
        self.mean.copy_(torch.from_numpy(mean))
        # Per feature, so that distances of networks of any width are about one.
        self.whitening.copy_(torch.from_numpy(whitening / np.sqrt(len(mean))))

    def distance(self, features: Tensor) -> Tensor:
        """Distances (N,) of features (N, F), about one; infinite for what is no number."""
        offset = features.to(self.mean) - self.mean
        distance: Tensor = (offset @ self.whitening.to(offset).mT).norm(dim=1)
        return distance.nan_to_num(torch.inf, torch.inf)

    def cross_fit(self, features: Tensor) -> Tensor:
        """Distances (N,) of features (N, F) in no particular order, each from the other parts."""
        distance = features.new_empty(len(features), dtype=torch.float64)
        part = torch.arange(len(features), device=features.device) % _FOLDS
        for fold in range(_FOLDS):
            self.learn(features[part != fold])
            distance[part == fold] = self.distance(features[part == fold])
        return distance


class OutlierTest(nn.Module):
    """Tests of whether an image is like those of the training.

    With lens fits, the error of the Einstein radius and the distances from ordinary images of two
    numbers of the residual and of the features of the fit are tested; without, that of the features
    of the encoder. The limits are quantiles of ordinary images, each compared with the other nine
    tenths of them, and leave the same number of them beyond each, so that a given fraction is
    beyond one or more. No labels are used. Chi^2 itself is no test: masses that are learned about
    raise it more than a wrong noise.

    Args:
        width: of the features of the encoder.
        sees_fits: images have lens fits.
    """

    limits: Tensor

    def __init__(self, width: int, *, sees_fits: bool) -> None:
        super().__init__()
        self.usual_lens = UsualLens() if sees_fits else None
        self.misfit = Scatter(MISFIT) if sees_fits else None
        self.ordinary = Scatter(FEATURES if sees_fits else width)
        self.register_buffer("limits", torch.full((len(TESTS),), torch.inf, dtype=torch.float64))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Read limits; weights of earlier versions lack the first of them."""
        limits = state_dict.get(f"{prefix}limits")
        if limits is not None and len(limits) < len(TESTS):
            missing = limits.new_full((len(TESTS) - len(limits),), torch.inf)
            state_dict[f"{prefix}limits"] = torch.cat([missing, limits])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @torch.no_grad()
    def learn(self, observed: Observed, rate: float) -> None:
        """Take the scatter of ordinary images, and the limits.

        Args:
            observed: of images in no particular order, as new to the network as those to be tested.
            rate: fraction of such images that is flagged. Fewer images than its inverse have a
                higher rate: each limit is then the highest of them.
        """
        if len(observed.features) < LEAST_IMAGES:
            return
        scores = {"distance": self.ordinary.cross_fit(observed.features)}
        self.ordinary.learn(observed.features)
        if self.misfit is not None:
            assert observed.misfit is not None
            if observed.radius_error is not None:
                scores["radius_error"] = observed.radius_error.double()
            scores["misfit"] = self.misfit.cross_fit(observed.misfit)
            self.misfit.learn(observed.misfit)
        known = [name for name in TESTS if name in scores]
        columns = torch.stack([scores[name] for name in known], 1)
        # What nothing constrains is beyond any limit, even where some ordinary images are so.
        limits = find_limits(columns.cpu().numpy(), rate).clip(max=np.finfo(np.float64).max)
        self.limits[-len(known) :] = torch.from_numpy(limits).to(self.limits)

    @torch.no_grad()
    def judge(self, observed: Observed) -> Resemblance:
        """Test images."""
        scores = {"distance": self.ordinary.distance(observed.features)}
        if self.misfit is not None:
            assert observed.misfit is not None
            if observed.radius_error is not None:
                scores["radius_error"] = observed.radius_error.double()
            scores["misfit"] = self.misfit.distance(observed.misfit)
        columns = {name: scores[name].cpu().numpy() for name in TESTS if name in scores}
        limits = dict(zip(TESTS, self.limits.tolist(), strict=True))
        beyond = {TESTS[name]: column > limits[name] for name, column in columns.items()}
        rows = zip(*beyond.values(), strict=True)
        flags = ["; ".join(itertools.compress(beyond, row)) for row in rows]
        if observed.chi2_dof is not None:
            columns = {"chi2_dof": observed.chi2_dof.double().cpu().numpy()} | columns
        return Resemblance(columns, np.array(flags, dtype=np.str_))


def _whiten(features: Array) -> tuple[Array, Array]:
    """Mean (F,) of features (N, F), and the matrix (F, F) that makes their scatter one."""
    mean, std = features.mean(0), features.std(0)
    std = np.where(std > _CONSTANT, std, 1.0)
    covariance, _ = ledoit_wolf((features - mean) / std, assume_centered=True)
    variance, axes = np.linalg.eigh(covariance)
    return mean, (axes / np.sqrt(np.maximum(variance, _CONSTANT))).T / std


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
