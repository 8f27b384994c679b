"""Perturbers that are searched for, each of unit mass."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.lengths import LEAST, MOST
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.distance import MOST_STEEP
from lensphys.mass.point_mass import PointMass
from lensphys.mass.tnfw import TNFW
from lensphys.mass.uniform_line import UniformLine
from lensphys.parameters import check_range

#: What each profile needs, and its default (arcsec): the halo is that of some 1e9 solar masses, the
#: line the vortex of an axion of 1e-23 eV.
SHAPES: dict[str, dict[str, float]] = {
    "point_mass": {},
    "TNFW": {"Rs": 0.1, "r_trunc": 0.5},
    "line": {"half_length": 0.3},
}
#: Orientations of a line, unless others are asked for.
ANGLES = 8


@dataclasses.dataclass(frozen=True)
class Perturber:
    """Shape of a mass at the origin that lenses like ``theta_E = 1`` arcsec in total.

    Args:
        profile: a key of :data:`SHAPES`.
        shape: its sizes by name, arcsec.
        phi: angle of a line to the x axis, rad.
    """

    profile: str
    shape: tuple[tuple[str, float], ...] = ()
    phi: float = 0.0

    def deflection(self, x: Tensor, y: Tensor) -> Vector:
        """Reduced deflection, arcsec, which is ``r_vec / r^2`` far away."""
        return self.mass.deflection(x, y)

    @property
    def mass(self) -> MassProfile:
        """The mass profile."""
        shape = dict(self.shape)
        if self.profile == "point_mass":
            return PointMass(theta_E=1.0)
        if self.profile == "line":
            return UniformLine(theta_E=1.0, phi=self.phi, **shape)
        return TNFW(alpha_Rs=_alpha_Rs_of_unit_mass(**shape), **shape)

    @property
    def extent(self) -> tuple[float, float]:
        """Half the width and height (arcsec) of the box where the deflection is not smooth."""
        half = dict(self.shape).get("half_length", 0.0)
        return half * abs(math.cos(self.phi)), half * abs(math.sin(self.phi))


def make_perturbers(
    profile: str, given: dict[str, float | None], angles: int | None
) -> list[Perturber]:
    """Make the perturber of a profile, or a line in every orientation.

    Args:
        profile: a key of :data:`SHAPES`.
        given: sizes by name, arcsec; None for the default.
        angles: number of orientations of a line, evenly spread over half a turn; None for
            :data:`ANGLES`.

    Raises:
        ValueError: for an unknown profile, a size out of range or one that the profile has not, and
            orientations of what is round.
    """
    if profile not in SHAPES:
        raise ValueError(f"profile must be one of {', '.join(SHAPES)}, got {profile!r}")
    shape = dict(SHAPES[profile])
    for name, value in given.items():
        if value is None:
            continue
        if name not in shape:
            owner = next(known for known, sizes in SHAPES.items() if name in sizes)
            raise ValueError(f"{name} is a size of the profile {owner!r}, not of {profile!r}")
        most = MOST if name == "r_trunc" else MOST_STEEP
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number (arcsec), got {value!r}")
        check_range(name, float(value), LEAST, most, False)
        shape[name] = float(value)
    sizes = tuple(shape.items())
    if profile != "line":
        if angles is not None:
            raise ValueError(f"angles are those of the profile 'line', not of {profile!r}")
        return [Perturber(profile, sizes)]
    count = ANGLES if angles is None else angles
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"angles must be a whole number from 1 on, got {angles!r}")
    return [Perturber(profile, sizes, math.pi * k / count) for k in range(count)]


def _alpha_Rs_of_unit_mass(Rs: float, r_trunc: float) -> float:
    """Deflection at ``Rs`` without truncation of the halo whose total mass is that of theta_E = 1.

    Baltz, Marshall & Oguri 2009 (JCAP 01, 015), eq. A4 for n = 1.
    """
    tau = torch.tensor(r_trunc / Rs, dtype=torch.float64)
    t2 = tau * tau
    inside = t2 / (t2 + 1) ** 2 * ((t2 - 1) * torch.log(tau) + math.pi * tau - (t2 + 1))
    return (1 - math.log(2)) / (Rs * float(inside))
