"""Regression of columns of a data set from its images, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri
from torch import Tensor

from learn.baselines.radial import RadialBaseline
from learn.data import Batch
from learn.data_description import DataDescription
from learn.lens_fits.lens_fits import LensFits
from learn.networks.head import Head
from learn.reporting.figures.regress import draw_calibration, draw_regression
from learn.reporting.tasks.regress import REPORT
from learn.splits import Split
from learn.tasks.base import FeatureTask
from learn.tasks.binning import BinnedParams
from learn.tasks.data_needs import REGRESS
from learn.tasks.intervals import Measures
from lensphys.ground.config import suggestion
from lensphys.ground.errors import InputError
from simulate.dataset.columns import unit
from simulate.dataset.padding import mark_padding
from simulate.shards import Array, DataSet

#: A column whose range is below this part of its size is constant up to rounding.
_ROUNDING = 1e-9
#: Columns that mean what a parameter of a fit of the same name means.
_FITTED = (
    *("theta_E", "gamma", "e1", "e2", "center_x", "center_y", "gamma1", "gamma2"),
    *("source_center_x", "source_center_y", "source_R_sersic", "source_n_sersic"),
    *("source_e1", "source_e2"),
)
#: Those that mean it only where the deflections of a data set are not scaled.
_SCALED = ("theta_E", "gamma1", "gamma2")
#: The least error of a fit, and its largest distance from the mean, in units of the scatter.
_LEAST_ERROR, _FARTHEST = 1e-4, 5.0

#: Half width of the central 68% of a Gaussian, in sigma, and the least factor on uncertainties.
_SIGMA_68 = float(ndtri(0.84))
_LEAST_TEMPERATURE = 1e-3


class Regress(FeatureTask):
    """A Gaussian for each column: linear heads for its mean and its log variance.

    Trained by the likelihood of the images where a column has a value, in units of the scatter of
    the training images, weighted as in Seitzer et al. 2022 (arXiv:2203.09168): plain likelihood
    learns slowly where the variance is still large. Images are turned together with their columns.
    If a lens was fitted to each image, the heads of columns that the fit has start from it: an
    untrained network predicts the fit, with its errors, and learns the rest in units of them.
    After training, the uncertainties of each column are multiplied by one number, with which the
    68% intervals hold 68% of the validation images: unlike that of greatest likelihood (Levi et al.
    2019, arXiv:1905.11659) it does not follow the few images that are far off.
    """

    report = REPORT
    data_needs = REGRESS
    needs_params = True

    mean: Tensor
    std: Tensor
    temperature: Tensor
    fitted: Tensor

    class Params(BinnedParams):
        """Parameters of the task."""

        columns: list[str] | None = Field(
            min_length=1, description="columns to learn; null: the candidates that vary"
        )
        candidates: list[str]
        beta: float = Field(
            ge=0, le=1, description="0: plain likelihood; 1: the mean learns as in least squares"
        )
        max_log_variance: float = Field(
            gt=0, description="bound of its modulus, in units of the scatter of the training images"
        )
        from_fit: bool = Field(
            False, description="start from the lens fit, and learn the rest in units of its errors"
        )

    @classmethod
    def resolve_params(
        cls, params: Params, data: DataSet, train: NDArray[np.int64], warn: Callable[[str], None]
    ) -> dict[str, Any]:
        if params.columns is not None:
            for name in params.columns:
                reason = _why_not(name, data, train)
                if reason:
                    raise InputError(f"params.columns: {reason}; leave it out")
            if len(set(params.columns)) != len(params.columns):
                raise InputError("params.columns must name each column once")
            return params.model_dump(mode="json")
        present = [name for name in params.candidates if name in data.params]
        columns = [name for name in present if not _why_not(name, data, train)]
        if not columns:
            raise InputError(
                f"{data.path} has no parameter that varies among {', '.join(params.candidates)}; "
                f"make a data set with `{cls.data_needs.command}`"
            )
        left_out = [name for name in present if name not in columns]
        if left_out:
            warn(f"left out, constant or unknown in the training images: {', '.join(left_out)}")
        return params.model_copy(update={"columns": columns}).model_dump(mode="json")

    def check_data(self, data: DataSet) -> None:
        super().check_data(data)
        missing = [name for name in self.columns if name not in data.params]
        if missing:
            raise InputError(
                f"{data.path} has no column {', '.join(missing)}, which is to be regressed; choose "
                "another --data"
            )

    def build_head(self, params: Params, data: DataDescription) -> None:
        assert params.columns is not None
        self.params, self.columns = params, params.columns
        count = len(self.columns)
        for name, value in (("mean", 0.0), ("std", 1.0), ("temperature", 1.0)):
            self.register_buffer(name, torch.full((count,), value, dtype=torch.float64))
        self.from_fit = params.from_fit and self.lens_fitting is not None
        self.head = Head(self.encoder.width, 2 * count, sees_fit=self.from_fit)
        if self.from_fit:
            self.register_buffer("fitted", _find_fitted(self.columns, data.attrs))
            last, zero = self.head.last, self.fitted.repeat(2)
            with torch.no_grad():
                last.weight[zero], last.bias[zero] = 0.0, 0.0
        self.radial = RadialBaseline(count)

    def learn_data(self, data: DataSet, train: NDArray[np.int64]) -> None:
        super().learn_data(data, train)
        for k, column in enumerate(self._truth(data, train).T):
            known = column[np.isfinite(column)]
            if len(known):
                self.mean[k], self.std[k] = known.mean(), known.std()

    def predict_batch(self, batch: Batch) -> Tensor:
        """Means and standard deviations (B, 2, K) in the units of the columns."""
        mean, log_variance = self._gaussian(batch)
        sigma = torch.exp(0.5 * log_variance.double())
        return torch.stack(
            [self.mean + self.std * mean, self.std * self.temperature * sigma], dim=1
        )

    def loss(self, batch: Batch) -> Tensor:
        return self._surprise(batch, self.params.beta)

    def validation_score(self, batch: Batch) -> Tensor:
        return self._surprise(batch, beta=0.0)

    def calibrate(
        self, predictions: Tensor, data: DataSet, split: Split, fits: LensFits | None = None
    ) -> None:
        truth = self._truth(data, split.train)
        standardised = (truth - self.mean.cpu().numpy()) / self.std.cpu().numpy()
        self.radial.fit_columns(mark_padding(data, split.train), standardised)
        mean, sigma = predictions.double().numpy().transpose(1, 0, 2)
        z = np.abs(self._truth(data, split.validation) - mean) / sigma
        for k, column in enumerate(z.T):
            known = column[np.isfinite(column)]
            if len(known):
                self.temperature[k] = max(np.quantile(known, 0.68) / _SIGMA_68, _LEAST_TEMPERATURE)

    def measure(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        fits: LensFits | None = None,
    ) -> dict[str, Any]:
        mean, sigma = predictions.double().numpy().transpose(1, 0, 2)
        centre, scatter, temperature = (
            buffer.cpu().numpy() for buffer in (self.mean, self.std, self.temperature)
        )
        truth = self._truth(data, rows)
        radial = centre + scatter * self.radial.outputs(mark_padding(data, rows))
        metrics = regression_metrics(mean, sigma, truth, self.columns)
        metrics["mean_mae"] = _errors(np.broadcast_to(centre, truth.shape), truth, self.columns)
        metrics["radial_mae"] = _errors(radial, truth, self.columns)
        metrics["temperature"] = dict(zip(self.columns, temperature.tolist(), strict=True))
        before = regression_metrics(mean, sigma / temperature, truth, self.columns)
        for name in ("coverage68", "coverage95"):
            metrics[f"uncalibrated_{name}"] = before[name]
        if self.from_fit and fits is not None:
            metrics |= self._measure_fits(fits, data, rows)
        return metrics

    def parts(self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]) -> Measures:
        mean = predictions[:, 0].double().numpy()
        error = np.abs(mean - self._truth(data, rows))

        def measure(take: NDArray[np.int64]) -> dict[str, float]:
            some = error[take]
            return {
                f"mae.{name}": float(np.nanmean(some[:, k]))
                for k, name in enumerate(self.columns)
                if np.isfinite(some[:, k]).any()
            }

        return measure

    def _measure_fits(
        self, fits: LensFits, data: DataSet, rows: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Errors of the fits alone, and the part of the truths that their intervals hold."""
        fitted = self.fitted.cpu().numpy()
        values, errors = (part.numpy()[:, fitted] for part in _take(fits, self.columns))
        columns = [name for name, known in zip(self.columns, fitted, strict=True) if known]
        truth = self._truth(data, rows)[:, fitted]
        z = np.abs(values - truth) / errors
        return {
            "fit_mae": _errors(values, truth, columns),
            "fit_coverage68": coverage(z, 0.68, columns),
        }

    def draw(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        metrics: dict[str, Any],
        folder: Path,
        fits: LensFits | None = None,
    ) -> None:
        mean, sigma = predictions.double().numpy().transpose(1, 0, 2)
        truth = self._truth(data, rows)
        draw_regression(folder / "regression.png", mean, sigma, truth, self.columns, metrics)
        z = np.abs(truth - mean) / sigma
        draw_calibration(folder / "calibration.png", z, self.columns)

    def records(
        self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        mean, sigma = predictions.numpy().transpose(1, 0, 2)
        truth = self._truth(data, rows)
        return {"prediction": mean, "sigma": sigma, "truth": truth}, {"columns": self.columns}

    def table(self, predictions: Tensor) -> dict[str, Array]:
        mean, sigma = predictions.numpy().transpose(1, 0, 2)
        table: dict[str, Array] = {}
        for k, name in enumerate(self.columns):
            table |= {name: mean[:, k], f"{name}_error": sigma[:, k]}
        return table

    @property
    def units(self) -> dict[str, str]:
        return {key: unit(name) for name in self.columns for key in (name, f"{name}_error")}

    def _gaussian(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Means and log variances (B, K) of the standardised columns."""
        mean, raw = self.outputs(batch).float().chunk(2, dim=1)
        bound = self.params.max_log_variance
        log_variance = bound * torch.tanh(raw / bound)
        if not self.from_fit or batch.fits is None:
            return mean, log_variance
        value, error = self._standardise(batch.fits)
        return (
            torch.where(self.fitted, value + error * mean, mean),
            torch.where(self.fitted, 2 * error.log() + log_variance, log_variance),
        )

    def _standardise(self, fits: LensFits) -> tuple[Tensor, Tensor]:
        """Fits and their errors (B, K) in units of the scatter of the columns.

        The error of a fit that has not converged is the scatter.
        """
        values, errors = _take(fits, self.columns)
        value = ((values - self.mean) / self.std).clamp(-_FARTHEST, _FARTHEST)
        error = (errors / self.std).clamp(_LEAST_ERROR, 1.0)
        error = torch.where(fits.converged[:, None], error, 1.0)
        return value.float(), error.float()

    def _surprise(self, batch: Batch, beta: float) -> Tensor:
        """Negative log likelihood, weighted by ``variance**beta``, over the known values."""
        assert batch.params is not None
        truth = torch.stack([batch.params[name] for name in self.columns], dim=1)
        wanted = ((truth - self.mean) / self.std).float()
        known = wanted.isfinite()
        mean, log_variance = self._gaussian(batch)
        error = wanted.nan_to_num(0, 0, 0) - mean
        surprise = 0.5 * (log_variance + error**2 * torch.exp(-log_variance))
        weight = torch.exp(beta * log_variance.detach())
        return (known * weight * surprise).sum() / known.sum().clamp_min(1)

    def _truth(self, data: DataSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The columns (N, K) of the images ``rows``."""
        return np.stack([data.params[name][rows] for name in self.columns], axis=1)


def _find_fitted(columns: list[str], attrs: dict[str, Any]) -> Tensor:
    """Tell which columns (K,) mean the same as a parameter of a fit; labels may be scaled."""
    known = set(_FITTED)
    if float(attrs.get("alpha_scale", 1.0)) != 1.0:
        known -= set(_SCALED)
    return torch.tensor([name in known for name in columns])


def _take(fits: LensFits, columns: list[str]) -> tuple[Tensor, Tensor]:
    """Values and errors (B, K) of fits in double precision; 0 and 1 where there is no such name."""
    none, one = torch.zeros_like(fits.chi2_dof), torch.ones_like(fits.chi2_dof)
    known, stated = fits.params, fits.errors
    values = [known.get(name, none) for name in columns]
    errors = [stated.get(name, one) for name in columns]
    return torch.stack(values, 1).double(), torch.stack(errors, 1).double()


def regression_metrics(
    mean: NDArray[np.float64],
    sigma: NDArray[np.float64],
    truth: NDArray[np.float64],
    columns: list[str],
) -> dict[str, dict[str, Any]]:
    """Metrics of predictions and of their uncertainties.

    Args:
        mean: (N, K) predicted.
        sigma: (N, K) their standard deviations.
        truth: (N, K); where it is not finite, an image does not count.
        columns: names of the K columns.

    Returns:
        By column: ``images`` that count; ``mae``; ``r2``, the part of the variance that is
        explained, where there is any; ``coverage68`` and ``coverage95``, the parts of the images
        whose central interval of 68% or 95% of the Gaussian holds the truth. A column without a
        value is left out.
    """
    images, r2 = {}, {}
    for k, name in enumerate(columns):
        known = np.isfinite(truth[:, k])
        images[name] = int(known.sum())
        spread = truth[known, k] - truth[known, k].mean() if known.any() else np.zeros(1)
        if (spread**2).sum() > 0:
            missed = ((mean[known, k] - truth[known, k]) ** 2).sum()
            r2[name] = float(1 - missed / (spread**2).sum())
    z = np.abs(mean - truth) / sigma
    return {
        "images": images,
        "mae": _errors(mean, truth, columns),
        "r2": r2,
        "coverage68": coverage(z, 0.68, columns),
        "coverage95": coverage(z, 0.95, columns),
    }


def coverage(z: NDArray[np.float64], nominal: float, columns: list[str]) -> dict[str, float]:
    """Fraction of the known errors ``z`` (N, K), in sigma, that the interval holds, by column."""
    held = z <= ndtri(0.5 + nominal / 2)
    return _means(np.where(np.isfinite(z), held, np.nan), columns)


def _errors(
    predicted: NDArray[np.float64], truth: NDArray[np.float64], columns: list[str]
) -> dict[str, float]:
    return _means(np.abs(predicted - truth), columns)


def _means(values: NDArray[np.float64], columns: list[str]) -> dict[str, float]:
    """Means over what is finite, by column; without those where nothing is."""
    known = {
        name: column[np.isfinite(column)] for name, column in zip(columns, values.T, strict=True)
    }
    return {name: float(column.mean()) for name, column in known.items() if len(column)}


def _why_not(name: str, data: DataSet, train: NDArray[np.int64]) -> str:
    """The reason why a column cannot be learnt; empty where it can."""
    if name not in data.params:
        return f"{data.path} has no column '{name}'{suggestion(name, data.params)}"
    if name == "angle" or name.endswith("_angle"):
        return f"{name} is an angle, whose ends meet: it has no mean"
    values = data.params[name][train]
    values = values[np.isfinite(values)]
    if not len(values):
        return f"{name} has no value in the training images"
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return f"{name} is constant ({values[0]:g}) in the training images"
    return ""
