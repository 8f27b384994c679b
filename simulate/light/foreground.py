"""Light in the image plane of a batch of images, whatever shines."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from simulate.light.components import Components

#: The profiles that make up a foreground, with the name of the parameter that scales each.
PROFILES: dict[str, tuple[Callable[..., lp.LightProfile], str]] = {
    "sersic": (lp.Sersic, "amplitude"),
    "ring": (lp.Ring, "amp"),
    "spiral": (functools.partial(lp.Spiral, m=2), "amplitude"),
}


@dataclasses.dataclass(frozen=True)
class Foreground:
    """Light in the image plane of a batch of B images; float64 on the CPU, angles in arcsec.

    It is a light profile, which ``lp.render(..., lens_light=foreground)``
    integrates over the pixels.
    """

    #: The middle of a pixel does not stand for all of it at the centre of a galaxy.
    steep: ClassVar[bool] = True

    columns: Mapping[str, Mapping[str, Tensor]]
    """parameters (B, K) of each profile in :data:`PROFILES`; images with fewer than K of them are
    padded with such of no light"""
    labels: Mapping[str, Tensor]
    """(B,) columns of the data set; NaN where a column does not apply"""
    n: int
    """number B of images"""

    def __len__(self) -> int:
        return self.n

    @classmethod
    def stack(cls, components: Sequence[Components]) -> Self:
        """The components of each image as one batch."""
        columns = {}
        for kind, (_, amplitude) in PROFILES.items():
            each = [[p for name, p in one.profiles if name == kind] for one in components]
            most = max(map(len, each), default=0)
            names = next((tuple(p) for rows in each for p in rows), (amplitude,))
            padded = {name: np.zeros((len(each), most)) for name in names}
            for i, rows in enumerate(each):
                for k, values in enumerate(rows):
                    for name in names:
                        padded[name][i, k] = values[name]
            columns[kind] = {name: torch.from_numpy(values) for name, values in padded.items()}
        known = dict.fromkeys(name for one in components for name in one.labels)
        labels = {
            name: torch.tensor(
                [one.labels.get(name, math.nan) for one in components], dtype=torch.float64
            )
            for name in known
        }
        return cls(columns, labels, len(components))

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Batches one after the other."""
        parts = list(parts)
        columns = {}
        for kind, (_, amplitude) in PROFILES.items():
            tables = [part.columns[kind] for part in parts]
            most = max((table[amplitude].shape[1] for table in tables), default=0)
            names = max((tuple(table) for table in tables), key=len, default=(amplitude,))
            columns[kind] = (
                {
                    name: torch.cat(
                        [
                            _widen(table, name, part.n, most)
                            for table, part in zip(tables, parts, strict=True)
                        ]
                    )
                    for name in names
                }
                if parts
                else {amplitude: torch.zeros(0, 0, dtype=torch.float64)}
            )
        known = dict.fromkeys(name for part in parts for name in part.labels)
        labels = {
            name: torch.cat(
                [
                    part.labels.get(name, torch.full((part.n,), math.nan, dtype=torch.float64))
                    for part in parts
                ]
            )
            for name in known
        }
        return cls(columns, labels, sum(part.n for part in parts))

    def select(self, rows: Tensor | NDArray[np.integer] | slice) -> Self:
        """The images of these numbers, or of a mask or a slice."""
        chosen = torch.arange(self.n)[rows]
        columns = {
            kind: {name: values[chosen] for name, values in table.items()}
            for kind, table in self.columns.items()
        }
        labels = {name: values[chosen] for name, values in self.labels.items()}
        return dataclasses.replace(self, columns=columns, labels=labels, n=len(chosen))

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2, (B, ny, nx), at ``x, y`` (arcsec) of shape (ny, nx) or (B, ny, nx)."""
        return self._sum(lambda light, x, y: light.surface_brightness(x, y), x, y)

    def mean_brightness(self, x: Tensor, y: Tensor, width: float) -> Tensor:
        """Mean flux per arcsec^2, (B, ny, nx), over square pixels about ``x, y`` (arcsec)."""
        return self._sum(lambda light, x, y: light.mean_brightness(x, y, width), x, y)

    def _sum(
        self, evaluate: Callable[[lp.LightProfile, Tensor, Tensor], Tensor], x: Tensor, y: Tensor
    ) -> Tensor:
        total = x.new_zeros(self.n, *x.shape[-2:])
        for kind, (profile, amplitude) in PROFILES.items():
            table = self.columns[kind]
            for k in range(table[amplitude].shape[1]):
                # Few images have as many components as the one that has most.
                rows = torch.nonzero(table[amplitude][:, k])[:, 0]
                light = profile(**{name: values[rows, k] for name, values in table.items()})
                at = (v if v.ndim == 2 else v[rows.to(v.device)] for v in (x, y))
                total.index_add_(0, rows.to(x.device), evaluate(light, *at))
        return total


def _widen(table: Mapping[str, Tensor], name: str, n: int, most: int) -> Tensor:
    """A column with the width of the widest, padded with zeros."""
    wide = torch.zeros(n, most, dtype=torch.float64)
    if name in table:
        wide[:, : table[name].shape[1]] = table[name]
    return wide
