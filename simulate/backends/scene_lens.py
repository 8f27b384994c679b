"""The lenses of a batch of scenes: a main lens in every image, other deflectors in some."""

from __future__ import annotations

import dataclasses
from typing import Self

from torch import Tensor

import lensphys as lp
from lensphys.mass.base import MassProfile
from lensphys.mass.multipole import CartesianMultipole
from simulate.config import MULTIPOLES
from simulate.scenes import Deflectors, Scene

Vector = tuple[Tensor, Tensor]


def parameters_of(
    columns: dict[str, Tensor], like: Tensor, *names: str
) -> dict[str, float | Tensor]:
    """Parameters in the precision of a tensor; one number where all images share it.

    The published models have one macro lens, whose deflection is then computed once a batch.
    """
    params: dict[str, float | Tensor] = {}
    for name in names:
        values = columns[name]
        shared = bool((values == values[0]).all())
        params[name] = values[0].item() if shared else values.to(like)
    return params


@dataclasses.dataclass(frozen=True)
class SceneLens:
    """The deflectors of B images.

    Attributes:
        main: the main lens.
        others: shear and multipoles.
        companions, substructure: rows and deflectors of the images that have any.
        images: number B.
        alpha_scale: factor on all deflections.
        of_twins: (B,) factor on the deflection of the main lens where all mass is in it.
    """

    main: MassProfile
    others: list[MassProfile]
    companions: list[tuple[Tensor, lp.Population | MassProfile]]
    substructure: list[tuple[Tensor, lp.Population | MassProfile]]
    images: int
    alpha_scale: float
    of_twins: Tensor | None

    @classmethod
    def of(cls, scene: Scene, like: Tensor, *, multipoles: bool = True) -> Self:
        """The lenses of a scene in the precision and on the device of a tensor.

        Args:
            scene: B images.
            like: the tensor.
            multipoles: with those of the main lens.
        """
        p = scene.params
        profile = getattr(lp, scene.main)
        columns = p | {"theta_E": p["theta_E_main"]}
        main = profile(**parameters_of(columns, like, *profile.parameter_names()))
        others: list[MassProfile] = [lp.Shear(**parameters_of(p, like, "gamma1", "gamma2"))]
        for m in (m for m in MULTIPOLES if multipoles and f"a{m}_cos" in p):
            names = (f"a{m}_cos", f"a{m}_sin", "center_x", "center_y")
            a_cos, a_sin, x, y = parameters_of(p, like, *names).values()
            others.append(CartesianMultipole(m=m, a_cos=a_cos, a_sin=a_sin, center_x=x, center_y=y))
        of_twins = None
        if "gamma" in p:  # the deflection of a power law goes as theta_E^(gamma - 1)
            of_twins = ((p["theta_E"] / p["theta_E_main"]) ** (p["gamma"] - 1)).to(like)
        companions, substructure = (
            [(part.rows.to(like.device), _deflector(part, like)) for part in parts]
            for parts in (scene.companions, scene.substructure)
        )
        return cls(main, others, companions, substructure, len(scene), scene.alpha_scale, of_twins)

    def ray_trace(self, x: Tensor, y: Tensor) -> Vector:
        """Source-plane position of rays (ny, nx) or (B, ny, nx), arcsec."""
        if self.alpha_scale == 1 and not (self.companions or self.substructure):
            return lp.ThinLens([self.main, *self.others]).ray_trace(x, y)
        alpha = lp.ThinLens([self.main, *self.others]).deflection(x, y)
        alpha = self._add([*self.companions, *self.substructure], alpha, x, y)
        return x - self.alpha_scale * alpha[0], y - self.alpha_scale * alpha[1]

    def ray_trace_twins(self, x: Tensor, y: Tensor) -> tuple[Vector, Vector]:
        """Source-plane positions behind power laws, and behind those without substructure, arcsec.

        The second have all mass in the main lens; what both share is computed once.

        Args:
            x, y: (B, ny, nx) rays, arcsec.
        """
        assert self.of_twins is not None
        main = self.main.deflection(x, y)
        others = lp.ThinLens(self.others).ray_trace(x, y)
        shared = self._add(self.companions, (-others[0], -others[1]), x, y)
        factor = self.of_twins[:, None, None]
        smooth = tuple(-(s + factor * m) for s, m in zip(shared, main, strict=True))
        alpha = tuple(s + m for s, m in zip(shared, main, strict=True))
        alpha = self._add(self.substructure, (alpha[0], alpha[1]), x, y)
        return (-alpha[0], -alpha[1]), (smooth[0], smooth[1])

    def _add(
        self,
        parts: list[tuple[Tensor, lp.Population | MassProfile]],
        alpha: Vector,
        x: Tensor,
        y: Tensor,
    ) -> Vector:
        """Deflections with those of deflectors that some of the images have."""
        if parts:
            shape = (self.images, *x.shape[-2:])
            alpha = (alpha[0].expand(shape).clone(), alpha[1].expand(shape).clone())
        for rows, population in parts:
            at = (x, y) if x.ndim == 2 else (x[rows], y[rows])
            for total, part in zip(alpha, population.deflection(*at), strict=True):
                total.index_add_(0, rows, part)
        return alpha


def _deflector(part: Deflectors, like: Tensor) -> lp.Population | MassProfile:
    """The deflectors of one kind in the images that have any, as one."""
    profile = getattr(lp, part.profile)
    params = {name: values.to(like) for name, values in part.params.items()}
    alone = all(values.shape[-1] == 1 for values in params.values())
    if alone and not hasattr(profile, "sum_deflections"):  # no sum over one
        single: MassProfile = profile(**{name: values[:, 0] for name, values in params.items()})
        return single
    return lp.Population(profile(**params))
