"""Deflectors of a fit: a main mass, external shear and multipoles, beside given neighbours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from lensphys.fit_range import Axes, FitRange
from lensphys.fitting.scene import find_fittable_mass, is_near
from lensphys.lens import ThinLens, sum_maps
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.multipole import CartesianMultipole
from lensphys.mass.shear import Shear
from lensphys.parameters import parameter_fields

#: Orders of the multipoles that are fitted: the second is an ellipse already, higher ones are not
#: seen in galaxies.
ORDERS = (1, 3, 4)
#: Range of both amplitudes of a multipole, in half fields: a tenth of a ring of half that radius,
#: ten times what elliptical galaxies show (Hao et al. 2006, MNRAS 370, 1339).
_MOST = 0.05
_SHEAR = tuple(Shear.fit_ranges())


class Deflectors:
    """Main mass + external shear (+ multipoles) + neighbours that are not fitted.

    Parameters are given by name, numbers or ``(B,)``: those of the mass profile and of the shear
    under their own names; for a multipole of order 3 ``a3_cos`` and ``a3_sin``, its amplitudes
    ``a_m cos(m phi_m)`` and ``a_m sin(m phi_m)``, arcsec, in the convention of
    :class:`lensphys.Multipole` and of lenstronomy's ``MULTIPOLE``. Multipoles share the centre of
    the main mass; the dipole has its Einstein radius as ``r_E``.

    Args:
        mass: a key of :data:`lensphys.mass.MASSES`, of a profile that can be fitted.
        multipoles: orders, among 1, 3 and 4.
        neighbours: mass profiles beside the lens, with parameters that are numbers or ``(B,)``.

    Attributes:
        names: the parameters, in order.
        ranges: fit range of every parameter, by name.

    Raises:
        ValueError: for a mass that cannot be fitted, see
            :func:`lensphys.fitting.scene.find_fittable_mass`; other multipoles, or the same twice;
            neighbours that are no mass profiles.
    """

    def __init__(
        self,
        mass: str = "SIE",
        *,
        multipoles: Sequence[int] = (),
        neighbours: Sequence[MassProfile] = (),
    ) -> None:
        self._mass = find_fittable_mass(mass)
        self.mass, self.multipoles = mass, _check_orders(multipoles)
        self.neighbours = _check_neighbours(neighbours)
        self._mass_names = tuple(self._mass.fit_ranges())
        self.ranges: dict[str, FitRange] = {**self._mass.fit_ranges(), **Shear.fit_ranges()}
        for m in self.multipoles:
            for name, odd in zip(_names_of(m), _find_odd_axes(m), strict=True):
                self.ranges[name] = FitRange(low=-_MOST, high=_MOST, unit="half field", odd=odd)
        self.names = tuple(self.ranges)

    def take(self, index: Tensor) -> Deflectors:
        """Return the deflectors of some images of the batch: the neighbours that belong to them."""
        taken = [_take(neighbour, index) for neighbour in self.neighbours]
        if all(new is old for new, old in zip(taken, self.neighbours, strict=True)):
            return self
        return Deflectors(self.mass, multipoles=self.multipoles, neighbours=taken)

    def lens(self, params: Mapping[str, Tensor]) -> ThinLens:
        """Deflectors of these parameters, with the neighbours."""
        fitted = [self._main(params), self._shear(params)]
        return ThinLens([*fitted, *self._multipoles(params).values(), *self.neighbours])

    def deflection_jacobian(
        self, params: Mapping[str, Tensor], x: Tensor, y: Tensor
    ) -> tuple[Vector, dict[str, Vector]]:
        """Deflection of all, and its derivative with respect to each parameter, in closed form.

        Rays within 1e-4 theta_E of the centre of the main mass do not constrain it: behind a
        singular centre light jumps from one side of the source to the other.

        Args:
            params: by name; others than :attr:`names` are left alone.
            x, y: positions, arcsec, ``(ny, nx)`` or ``(B, ny, nx)``.

        Returns:
            ``(alpha_x, alpha_y)``, arcsec, and by name the pair ``(d alpha_x / d p,
            d alpha_y / d p)``, in the order of :attr:`names`.
        """
        main = self._main(params)
        alpha, every = main.deflection_jacobian(x, y)
        jacobian = {name: every[name] for name in self._mass_names}
        alpha_shear, by_shear = self._shear(params).deflection_jacobian(x, y)
        jacobian |= {name: by_shear[name] for name in _SHEAR}
        parts = [alpha, alpha_shear]
        for m, multipole in self._multipoles(params).items():
            own, by_own = multipole.deflection_jacobian(x, y)
            parts.append(own)
            jacobian |= zip(_names_of(m), (by_own["a_cos"], by_own["a_sin"]), strict=True)
            shared = {"center_x": "center_x", "center_y": "center_y"}
            if m == 1:
                shared["theta_E"] = "r_E"
            for name, theirs in shared.items():
                (d_x, d_y), (more_x, more_y) = jacobian[name], by_own[theirs]
                jacobian[name] = d_x + more_x, d_y + more_y
        near = is_near(main, x, y)
        for name in ("center_x", "center_y"):
            d_x, d_y = jacobian[name]
            jacobian[name] = d_x.masked_fill(near, 0.0), d_y.masked_fill(near, 0.0)
        parts += [neighbour.deflection(x, y) for neighbour in self.neighbours]
        alpha_x, alpha_y = sum_maps(parts)
        return (alpha_x, alpha_y), jacobian

    def _main(self, params: Mapping[str, Tensor]) -> MassProfile:
        return self._mass(**{name: params[name] for name in self._mass_names})

    def _shear(self, params: Mapping[str, Tensor]) -> Shear:
        return Shear(**{name: params[name] for name in _SHEAR})

    def _multipoles(self, params: Mapping[str, Tensor]) -> dict[int, CartesianMultipole]:
        """Multipoles by order, about the main mass."""
        centre = {name: params[name] for name in ("center_x", "center_y")}
        found = {}
        for m in self.multipoles:
            a_cos, a_sin = (params[name] for name in _names_of(m))
            radius = {"r_E": params["theta_E"]} if m == 1 else {}
            found[m] = CartesianMultipole(m=m, a_cos=a_cos, a_sin=a_sin, **centre, **radius)
        return found


def _names_of(m: int) -> tuple[str, str]:
    return f"a{m}_cos", f"a{m}_sin"


def _find_odd_axes(m: int) -> tuple[Axes, Axes]:
    """Axes whose mirror image changes the sign of the two amplitudes of a multipole.

    ``phi`` becomes ``pi - phi`` along x and ``-phi`` along y.
    """
    return ("x", "y") if m % 2 else ("", "xy")


def _check_orders(orders: Sequence[int]) -> tuple[int, ...]:
    known = ", ".join(str(m) for m in ORDERS)
    if not isinstance(orders, Sequence) or isinstance(orders, str):
        raise ValueError(f"multipoles must be a list of orders among {known}, got {orders!r}")
    for m in orders:
        if isinstance(m, bool) or m not in ORDERS:
            raise ValueError(f"multipoles must be of the orders {known}, got {m!r}")
    if len(set(orders)) < len(orders):
        raise ValueError(f"multipoles must be given once each, got {tuple(orders)}")
    return tuple(int(m) for m in orders)


def _check_neighbours(neighbours: Sequence[MassProfile]) -> tuple[MassProfile, ...]:
    if isinstance(neighbours, MassProfile) or not isinstance(neighbours, Sequence):
        kind = type(neighbours).__name__
        raise ValueError(f"neighbours must be a list of mass profiles, got {kind}")
    for neighbour in neighbours:
        if not isinstance(neighbour, MassProfile):
            kind = type(neighbour).__name__
            raise ValueError(f"neighbours must be mass profiles such as lp.SIS, got {kind}")
    return tuple(neighbours)


def _take(profile: MassProfile, index: Tensor) -> MassProfile:
    """Return a mass profile of some images; itself where it is the same for all."""
    batched = {}
    for field in parameter_fields(profile):
        value = getattr(profile, field.name)
        if isinstance(value, Tensor) and value.numel() > 1:
            batched[field.name] = value[index.to(value.device)]
    return dataclasses.replace(profile, **batched) if batched else profile
