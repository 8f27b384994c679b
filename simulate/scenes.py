"""The scene table: everything that is drawn at random about a batch of images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from simulate.config import SimulateConfig
from simulate.light.foreground import Foreground
from simulate.sources.structured import Structures

#: Independent random streams of one image.
SCENE, NOISE, NOISE_LOW_RESOLUTION, LIGHT, MORE = range(5)


@dataclasses.dataclass(frozen=True)
class Deflectors:
    """Substructure of one kind in R of the images of a batch, K deflectors in each."""

    profile: str
    """name of a mass profile of :mod:`lensphys`"""
    rows: Tensor
    """(R,) indices of the images"""
    params: dict[str, Tensor]
    """(R, K) of each deflector, float64; where an image has fewer than K, the rest deflect by 0"""
    in_lenstronomy: Callable[[dict[str, float]], Iterable[tuple[str, dict[str, float]]]] | None = (
        None
    )
    """profiles, as :mod:`lensphys` names them, that stand for one deflector where lenstronomy does
    not have its profile; None: it has"""


@dataclasses.dataclass(frozen=True)
class Scene:
    """A batch of B lens systems; float64 on the CPU, angles in arcsec, masses in solar masses."""

    index: Tensor
    """(B,) number of the image in the data set"""
    label: Tensor
    """(B,) position in ``config.classes``"""
    params: dict[str, Tensor]
    """(B,) columns under lenstronomy's names; NaN where a column does not apply"""
    main: str
    """name of the main lens's mass profile"""
    substructure: tuple[Deflectors, ...] = ()
    """substructure: deflectors beside the main lens, the shear and the companions"""
    alpha_scale: float = 1.0
    """factor on all deflections, see :func:`lensphys.cosmology.alpha_scale`"""
    lensed: Tensor | None = None
    """(L,) indices of the images that show a lensed source, in rising order; None: all"""
    foreground: Foreground | None = None
    """light in the image plane"""
    companions: tuple[Deflectors, ...] = ()
    """deflectors that are no substructure: galaxies beside the lens"""
    structures: Structures | None = None
    """bulge, arms and clumps of the sources; None: they are smooth"""

    def __len__(self) -> int:
        return len(self.index)

    def without_substructure(self) -> Scene:
        """The same scene with all its mass in the main lens."""
        params = self.params | {"theta_E_main": self.params["theta_E"]}
        return dataclasses.replace(self, params=params, substructure=())

    def perturbed(self) -> Tensor:
        """(R,) indices of the images with substructure, in rising order."""
        rows = [part.rows for part in self.substructure]
        return torch.cat(rows).sort().values if rows else torch.zeros(0, dtype=torch.int64)

    def select(self, rows: Tensor) -> Scene:
        """Some of the images.

        Args:
            rows: (R,) which, in rising order.
        """
        columns = {name: values[rows] for name, values in self.params.items()}
        lensed = self.lensed
        if lensed is not None:
            lensed = torch.searchsorted(rows, lensed[torch.isin(lensed, rows)])
        return dataclasses.replace(
            self,
            index=self.index[rows],
            label=self.label[rows],
            params=columns,
            substructure=_select(self.substructure, rows),
            companions=_select(self.companions, rows),
            structures=self.structures and self.structures.select(rows),
            lensed=lensed,
            foreground=self.foreground and self.foreground.select(rows),
        )


def _select(parts: tuple[Deflectors, ...], rows: Tensor) -> tuple[Deflectors, ...]:
    """The deflectors of some of the images."""
    selected = []
    for part in parts:
        inside = torch.isin(part.rows, rows)
        if inside.any():
            params = {name: values[inside] for name, values in part.params.items()}
            places = torch.searchsorted(rows, part.rows[inside])
            selected.append(dataclasses.replace(part, rows=places, params=params))
    return tuple(selected)


class Prior(Protocol):
    """Draws scenes; each preset has its own."""

    main: str
    """name of the main lens's mass profile"""
    alpha_scale: float
    """factor on all deflections"""
    twins: bool
    """true where a scene without its substructure is the same lens (mass-compensated)"""

    def draw(self, start: int, stop: int) -> Scene:
        """The scenes of images ``start`` to ``stop - 1``."""


def generator(config: SimulateConfig, index: int, stream: int) -> np.random.Generator:
    """The random numbers of one image: a function of model, seed, image number and stream only.

    The model enters, so that the images of two models with one seed are independent.
    """
    key = np.array([_data_set_key(config.seed, config.model), index], np.uint64)
    bits = np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], np.uint64))
    return np.random.Generator(bits)


@functools.cache
def _data_set_key(seed: int, model: int) -> int:
    return int(np.random.SeedSequence([seed, model]).generate_state(1, np.uint64)[0])
