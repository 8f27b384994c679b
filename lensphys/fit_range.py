"""Range, scale and start of a parameter in a fit, declared beside the parameter itself."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from torch import Tensor

#: Unit of a range: a bare number, half the field of view (arcsec), or the brightest surface
#: brightness of the image (flux per arcsec^2).
Unit = Literal["", "half field", "peak"]
#: Axes whose mirror image changes the sign of a parameter.
Axes = Literal["", "x", "y", "xy"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitRange:
    """Range in which a fit looks for a parameter, and the value that it starts from.

    Args:
        low, high: ends of the range, in ``unit``.
        start: value that a fit starts from if nothing better is known, in ``unit``.
        unit: of the range and the start: ``""``, ``"half field"`` or ``"peak"``.
        log: a step of the fit changes the logarithm of the parameter.
        odd: axes whose mirror image changes the sign of the parameter, such as ``"x"`` for a
            ``center_x``.
        allowed: ends of what the profile allows, in the unit of the parameter; filled in by
            :meth:`lensphys.parameters.Profile.fit_ranges`.

    Raises:
        ValueError: for ends that are not in order, a start outside of them, or a logarithm of what
            is not positive.
    """

    low: float
    high: float
    start: float = 0.0
    unit: Unit = ""
    log: bool = False
    odd: Axes = ""
    allowed: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not self.low < self.high or not self.low <= self.start <= self.high:
            raise ValueError(
                f"a fit range needs low <= start <= high and low < high, got {self.low:g}, "
                f"{self.start:g}, {self.high:g}"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic fit range must be positive, got {self.low:g}")

    def per_unit(self, half_field: float, peak: Tensor) -> float | Tensor:
        """Return the unit of the range: 1, arcsec, or flux per arcsec^2 of each image ``(B,)``."""
        units: dict[str, float | Tensor] = {"": 1.0, "half field": half_field, "peak": peak}
        return units[self.unit]


# Ranges that profiles share.
EINSTEIN_RADIUS = FitRange(low=0.02, high=1.2, start=0.4, unit="half field", log=True)
E1 = FitRange(low=-0.6, high=0.6)
E2 = FitRange(low=-0.6, high=0.6, odd="xy")
CENTER_X = FitRange(low=-1.0, high=1.0, unit="half field", odd="x")
CENTER_Y = FitRange(low=-1.0, high=1.0, unit="half field", odd="y")
