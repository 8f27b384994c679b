"""Maps of what a search for perturbers finds, and their order statistics."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

#: Quantiles of ``|S/N|`` and of S/N among the statistics of a map.
_ABSOLUTE, _SIGNED = (0.5, 0.75, 0.9, 0.97), (0.03, 0.1, 0.9, 0.97)
#: Places where the error of the mass is so many times the least one do not count for statistics.
_LARGEST_ERROR = 1e3**0.5

#: Names of the statistics of one map.
_NAMES = (
    "largest absolute",
    "largest",
    "least",
    "root of the sum of squares",
    *(f"{100 * q:.0f}% of the absolute" for q in _ABSOLUTE),
    *(f"{100 * q:.0f}%" for q in _SIGNED),
)
#: Names of the numbers of :meth:`DetectionMaps.statistics`.
STATISTICS = (
    *(f"S/N, {name}" for name in _NAMES),
    *(f"S/N with all else fixed, {name}" for name in _NAMES),
)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionMaps:
    """The best mass of a perturber in the middle of every pixel, for a batch of ``B`` images.

    Maps are ``(B, ny, nx)``, in the precision and on the device of the images, and NaN where no
    mass would be seen. Masses are those of the whole perturber.

    Attributes:
        snr: ``mass / error``; its sign is that of the mass.
        mass: of the greatest likelihood, in ``unit``; negative ones are allowed.
        error: standard error, in ``unit``, marginalised over everything that was fitted.
        least_mass: the least mass that is seen at 5 sigma, ``5 error``.
        snr_fixed: S/N if everything that was fitted were known: what a mass would have to be to
            explain the residual alone. Below 1 for noise, since the fit absorbs part of it.
        error_fixed: standard error in that case, which is the smaller one.
        angle: orientation of the line to the x axis, rad, of the largest ``|S/N|``; None for other
            profiles.
        x, y: places, arcsec, ``(ny, nx)`` each.
        profile: name of the perturber.
        unit: ``"arcsec^2"``: the square of the Einstein radius of the same mass in one point; or
            ``"solar masses"``.
    """

    snr: Tensor
    mass: Tensor
    error: Tensor
    least_mass: Tensor
    snr_fixed: Tensor
    error_fixed: Tensor
    angle: Tensor | None
    x: Tensor
    y: Tensor
    profile: str
    unit: str

    def statistics(self) -> Tensor:
        """Order statistics of the S/N, ``(B, 24)``, named in :data:`STATISTICS`.

        Twelve of ``snr`` and twelve of ``snr_fixed``: extremes, the root of the sum of squares,
        and quantiles over the places that see masses of up to 32 times the least. What a classifier
        of dark matter needs of a map; its logarithm is closer to a normal distribution.
        """
        seen = self.error_fixed <= _LARGEST_ERROR * _least(self.error_fixed)
        seen = (seen & self.snr.isfinite()).flatten(1)
        return torch.cat([summarise(snr, seen) for snr in (self.snr, self.snr_fixed)], 1)

    def __repr__(self) -> str:
        images, ny, nx = self.snr.shape
        finite = self.snr[self.snr.isfinite()].abs()
        largest = f"{float(finite.max()):.3g}" if finite.numel() else "none"
        return (
            f"DetectionMaps({self.profile}, {images} images of {ny} x {nx} places, masses in "
            f"{self.unit}, largest |S/N| {largest})"
        )


def _least(error: Tensor) -> Tensor:
    return error.nan_to_num(torch.inf).amin((-2, -1), keepdim=True)


def summarise(snr: Tensor, seen: Tensor) -> Tensor:
    """Statistics ``(B, 12)`` of the places that are seen; 0 without any.

    Args:
        snr: ``(B, ny, nx)``, or flat.
        seen: ``(B, ny nx)``, true where a place counts.
    """
    rows = []
    levels = [torch.tensor(q, dtype=snr.dtype, device=snr.device) for q in (_ABSOLUTE, _SIGNED)]
    for values, here in zip(snr.flatten(1), seen, strict=True):
        chosen = values[here]
        if not chosen.numel():
            rows.append(snr.new_zeros(len(_NAMES)))
            continue
        size = chosen.abs()
        extremes = [size.max(), chosen.max(), chosen.min(), chosen.square().sum().sqrt()]
        parts = [torch.quantile(v, q) for v, q in zip((size, chosen), levels, strict=True)]
        rows.append(torch.cat([torch.stack(extremes), *parts]))
    return torch.stack(rows)
