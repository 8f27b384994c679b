"""Means over seeds with their 95% intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        interval: half the width of the 95% interval of the mean; None for one value.
        count: of values.
    """

    mean: float
    interval: float | None
    count: int

    def __str__(self) -> str:
        """Mean, interval and number of seeds."""
        digits = 4 if self.mean < 0.1 else 3 if self.mean < 10 else 2
        mean = f"{self.mean:.{digits}f}"
        interval = "" if self.interval is None else f" ± {self.interval:.{digits}f}"
        return f"{mean}{interval} ({self.count})"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95% interval of measurements, by Student's t distribution."""
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)), None, count)
    # The quantile of scipy.stats, without the second that its import takes; refusals need neither.
    from scipy.special import stdtrit

    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(float(np.mean(values)), float(stdtrit(count - 1, 0.975)) * error, count)


def has_numbers(metrics: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Tell whether metrics hold a number under each of these names."""
    try:
        return all(isinstance(read_metric(metrics, name), float) for name in names)
    except (LookupError, TypeError, ValueError, OverflowError):
        return False


def read_metric(metrics: Mapping[str, Any], name: str) -> float:
    """A metric by its name; that of one class as ``auc.cdm``."""
    value: Any = metrics
    for part in name.split("."):
        value = value[part]
    return float(value)
