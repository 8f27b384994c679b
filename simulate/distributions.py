"""One-dimensional priors, drawn by inverting their cumulative distribution."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lensphys.ground.config import Strict

Array = NDArray[np.float64]


#: Standard deviations from the middle beyond which a tail has no numbers left to draw from.
_FARTHEST = 30.0


class _Bounded(Strict):
    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class Uniform(_Bounded):
    """Uniform between ``low`` and ``high``."""

    distribution: Literal["uniform"]

    def quantile(self, u: Array) -> Array:
        """The value below which lies the fraction ``u`` of the draws."""
        return self.low + (self.high - self.low) * u


class LogUniform(_Bounded):
    """Uniform in the logarithm between ``low`` and ``high``."""

    distribution: Literal["log_uniform"]
    low: float = Field(gt=0)

    def quantile(self, u: Array) -> Array:
        """The value below which lies the fraction ``u`` of the draws."""
        return self.low * np.power(self.high / self.low, u)


class Normal(_Bounded):
    """Gaussian of a mean and a standard deviation, cut off at ``low`` and ``high``."""

    distribution: Literal["normal"]
    mean: float
    sigma: float = Field(gt=0)

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        _check_reach(self.mean, self.sigma, self.low, self.high)
        return self

    def quantile(self, u: Array) -> Array:
        """The value below which lies the fraction ``u`` of the draws."""
        return _cut_normal(u, self.mean, self.sigma, self.low, self.high)


class LogNormal(_Bounded):
    """Gaussian in log10, of a median and a scatter in dex, cut off at ``low`` and ``high``."""

    distribution: Literal["log_normal"]
    low: float = Field(gt=0)
    median: float = Field(gt=0)
    dex: float = Field(gt=0)

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        middle, low, high = (math.log10(value) for value in (self.median, self.low, self.high))
        _check_reach(middle, self.dex, low, high)
        return self

    def quantile(self, u: Array) -> Array:
        """The value below which lies the fraction ``u`` of the draws."""
        limits = (math.log10(value) for value in (self.median, self.low, self.high))
        middle, low, high = limits
        return np.power(10.0, _cut_normal(u, middle, self.dex, low, high))


#: Any of them; in YAML: ``{distribution: normal, mean: 1.2, sigma: 0.3, low: 0.7, high: 1.7}``.
AnyDistribution = Annotated[
    Uniform | LogUniform | Normal | LogNormal, Field(discriminator="distribution")
]


def check_within(prior: AnyDistribution, low: float, high: float) -> AnyDistribution:
    """Return the prior itself where it lies between two limits.

    Raises:
        ValueError: if it reaches outside of ``low`` to ``high``.
    """
    if prior.low < low or prior.high > high:
        raise ValueError(
            f"must lie between {low:g} and {high:g}, got low {prior.low:g} and high {prior.high:g}"
        )
    return prior


def power_law(u: Array, low: float, high: float, slope: float) -> Array:
    """The value below which lies the fraction ``u`` of draws with a density ``x^slope``."""
    exponent = slope + 1
    if abs(exponent) < 1e-12:
        return np.asarray(low * (high / low) ** u)
    a, b = low**exponent, high**exponent
    return np.asarray((a + (b - a) * u) ** (1 / exponent))


def _check_reach(mean: float, sigma: float, low: float, high: float) -> None:
    away = max(low - mean, mean - high) / sigma
    if away > _FARTHEST:
        raise ValueError(
            f"low and high lie {away:.0f} standard deviations from the middle of the distribution "
            f"(at most {_FARTHEST:g})"
        )


def _cut_normal(u: Array, mean: float, sigma: float, low: float, high: float) -> Array:
    from scipy.special import ndtr, ndtri  # slow to import, and not needed to read a configuration

    if low > mean:  # far above it the cumulative distribution is rounded to 1
        return -_cut_normal(1 - u, -mean, sigma, -high, -low)
    below, above = (float(ndtr((limit - mean) / sigma)) for limit in (low, high))
    values: Array = mean + sigma * ndtri(below + (above - below) * u)
    return values.clip(low, high)  # rounding; and infinity for limits far in the tail
