"""Axis ratios and angles of ellipses and shears, with errors, from their components."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

#: Standard deviation of the angle of an axis of which nothing is known, degrees.
_ANY_ANGLE = 180.0 / math.sqrt(12.0)


@dataclasses.dataclass(frozen=True)
class Axis:
    """Modulus and direction of a quantity that half a turn brings back to itself.

    Attributes:
        modulus, modulus_error: of the two components.
        phi, phi_error: direction, degrees from +x towards +y, from 0 to 180.
    """

    modulus: float
    modulus_error: float
    phi: float
    phi_error: float

    @property
    def ratio(self) -> float:
        """Axis ratio of an ellipse, if the components are those of an ellipticity."""
        return (1 - self.modulus) / (1 + self.modulus)

    @property
    def ratio_error(self) -> float:
        """Standard error of the axis ratio."""
        return 2 * self.modulus_error / (1 + self.modulus) ** 2


def measure_axis(first: float, second: float, covariance: NDArray[np.float64]) -> Axis:
    """Measure the axis whose components are ``modulus cos(2 phi)`` and ``modulus sin(2 phi)``.

    Errors are propagated to first order. That of the angle is 52 degrees at most, the standard
    deviation of an angle of which nothing is known.

    Args:
        first, second: the components, such as ``e1`` and ``e2``.
        covariance: (2, 2) of these.
    """
    modulus = math.hypot(first, second)
    phi = math.degrees(0.5 * math.atan2(second, first)) % 180.0
    # A round body has no direction, and its modulus the error of any component.
    along = np.array([first, second]) / modulus if modulus else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    spread, turn = (_deviation(direction, covariance) for direction in (along, across))
    angle = math.degrees(0.5 * turn / modulus) if modulus else _ANY_ANGLE
    return Axis(modulus, spread, phi, min(angle, _ANY_ANGLE))


def _deviation(direction: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Standard deviation along a direction; infinite where the data do not constrain it."""
    if not np.isfinite(covariance).all():
        return math.inf
    return math.sqrt(max(0.0, float(direction.dot(covariance).dot(direction))))
