"""Checks of single numbers, which need no torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def is_count(value: Any) -> bool:
    """Return whether a value is a whole number from 1 on."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


def check_count(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is a whole number from 1 on."""
    if not is_count(value):
        raise ValueError(f"{name} must be a whole number from 1 on, got {value!r}")


def is_number(value: Any) -> bool:
    """Return whether a value is one finite number; a tensor of one element counts."""
    one = isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool)
    if hasattr(value, "numel") and value.numel() == 1:
        one, value = True, value.detach()
    try:
        return one and math.isfinite(value)
    except (TypeError, RuntimeError, OverflowError):  # complex, or larger than any float
        return False
