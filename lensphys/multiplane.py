"""Deflectors at several redshifts in front of one source."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lensphys import cosmology as cosmo
from lensphys.arrays import is_traced
from lensphys.cosmology import DAYS, Cosmology, FlatLambdaCDM
from lensphys.lens import Deflector, Lens, sum_maps
from lensphys.parameters import Parameter, align, move, take_parameter


@dataclasses.dataclass(frozen=True)
class _Plane:
    """One plane, and the distances from it to its neighbours."""

    deflectors: tuple[Deflector, ...]
    #: Physical deflection per reduced one.
    physical: Parameter
    #: Transverse comoving distance from the observer, Mpc.
    distance: Parameter
    #: The same to the plane before, over that to this plane; 0 for the first one.
    carried: Parameter
    #: Transverse comoving distance from this plane to the next, over that to the next.
    onward: Parameter


class MultiPlane(Lens):
    """Deflectors at several redshifts: each ray is deflected in one plane after the other.

    Coordinates ``x, y`` are in arcsec, of shape ``(ny, nx)`` or ``(B, ny, nx)``; every map comes
    back as ``(B, ny, nx)``, or ``(ny, nx)`` where nothing is batched. The centre of a deflector is
    its position on the sky without the deflectors in front of it.

    Rays obey Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 9.7. The recursion keeps
    the angle ``d`` between the ray and the line of sight, instead of the sum over all planes
    before: with transverse comoving distances ``T``, from plane ``i`` to ``j``

    ``d_j = (T_i / T_j) d_i - alpha_j(beta_j)`` and ``beta_j = beta_i + (T_ij / T_j) d_i``,

    which follows from the sum by the addition theorem of ``T`` and holds in curved space too.

    Args:
        deflectors: mass profiles, in lenstronomy's convention: parameters reduced to a source at
            ``z_source_convention``.
        redshifts: one for each deflector; deflectors at the same one form a plane. Tensors, of one
            value or of shape ``(B,)``, must be given in order, nearest first, and deflectors of one
            plane must share one tensor.
        z_source: redshift of the source.
        cosmology: of astropy's; or a :class:`lensphys.cosmology.FlatLambdaCDM`, through which
            gradients reach its parameters and the redshifts.
        z_source_convention: redshift of the source that the parameters are reduced to, behind all
            deflectors; ``z_source`` by default.

    Raises:
        ValueError: for deflectors without a redshift each, a source, true or conventional, that is
            not behind all of them, redshifts out of order, and batches that do not go together.
    """

    def __init__(
        self,
        deflectors: Sequence[Deflector],
        redshifts: Sequence[Parameter],
        *,
        z_source: Parameter,
        cosmology: Cosmology,
        z_source_convention: Parameter | None = None,
    ) -> None:
        if not hasattr(redshifts, "__len__"):
            kind = type(redshifts).__name__
            raise ValueError(f"redshifts must be a list, one for each deflector, got {kind}")
        if len(deflectors) != len(redshifts):
            raise ValueError(
                f"redshifts must be one for each deflector, got {len(redshifts)} for "
                f"{len(deflectors)} deflectors"
            )
        redshifts = list(redshifts)
        # One copy of each, since deflectors that share a tensor form a plane.
        own: dict[int, Parameter] = {}
        redshifts = [
            own.setdefault(id(z), take_parameter(f"redshifts[{i}]", z))
            for i, z in enumerate(redshifts)
        ]
        z_source = take_parameter("z_source", z_source)
        convention = z_source
        if z_source_convention is not None:
            convention = take_parameter("z_source_convention", z_source_convention)
        named = {f"redshifts[{i}]": z for i, z in enumerate(redshifts)}
        named |= {"z_source": z_source, "z_source_convention": convention}
        if isinstance(cosmology, FlatLambdaCDM):
            named |= {"H0": cosmology.H0, "Om0": cosmology.Om0}
        super().__init__(deflectors, **named)
        for i, z in enumerate(redshifts):
            cosmo.check_behind(z, z_source, f"redshifts[{i}]")
            cosmo.check_behind(z, convention, f"redshifts[{i}]", "z_source_convention")
        self.redshifts = tuple(redshifts)
        self.z_source = z_source
        self.z_source_convention = convention
        self.cosmology = cosmology
        self._grouped = _group_by_plane(self.deflectors, self.redshifts)
        # Distances that carry gradients are computed at each call: a graph serves one backward.
        varies = any(isinstance(value, Tensor) for value in named.values())
        self._fixed = None if varies else self._planes()

    def __repr__(self) -> str:
        return (
            f"MultiPlane({list(self.deflectors)!r}, {list(self.redshifts)!r}, "
            f"z_source={self.z_source!r}, cosmology={self.cosmology!r}, "
            f"z_source_convention={self.z_source_convention!r})"
        )

    def to(self, *args: Any, **kwargs: Any) -> MultiPlane:
        # One copy of each, since deflectors that share a tensor form a plane.
        moved = {id(z): move(z, *args, **kwargs) for z in self.redshifts}
        cosmology = self.cosmology
        if isinstance(cosmology, FlatLambdaCDM):
            cosmology = cosmology.to(*args, **kwargs)
        return MultiPlane(
            [deflector.to(*args, **kwargs) for deflector in self.deflectors],
            [moved[id(z)] for z in self.redshifts],
            z_source=move(self.z_source, *args, **kwargs),
            cosmology=cosmology,
            z_source_convention=move(self.z_source_convention, *args, **kwargs),
        )

    def ray_trace(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Source-plane position ``beta``, arcsec."""
        self._check_grid(x, y)
        for _, _, _, beta in self._rays(x, y):
            x, y = beta
        return x, y

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Effective deflection ``theta - beta(theta)``, arcsec."""
        beta_x, beta_y = self.ray_trace(x, y)
        return x - beta_x, y - beta_y

    def jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Derivatives of ``beta`` with respect to ``theta``: ``(xx, xy, yx, yy)``.

        ``xy`` is that of ``beta_x`` with respect to ``y``; it is not ``yx``, since the image is
        also rotated where deflectors at different redshifts shear it.
        """
        self._check_grid(x, y)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        b: tuple[Tensor, ...] = (one, zero, zero, one)
        d: tuple[Tensor, ...] = (zero, zero, zero, zero)
        for plane, (at_x, at_y), _, _ in self._rays(x, y):
            xx, xy, yy = sum_maps([part.hessian(at_x, at_y) for part in plane.deflectors])
            carried, physical = align(plane.carried, x), align(plane.physical, x)
            bent = (
                xx * b[0] + xy * b[2],
                xx * b[1] + xy * b[3],
                xy * b[0] + yy * b[2],
                xy * b[1] + yy * b[3],
            )
            d = tuple(carried * old - physical * new for old, new in zip(d, bent, strict=True))
            onward = align(plane.onward, x)
            b = tuple(old + onward * new for old, new in zip(b, d, strict=True))
        return b[0], b[1], b[2], b[3]

    def arrival_time(self, x: Tensor, y: Tensor) -> Tensor:
        """Arrival time, days, against a straight ray through an empty universe.

        The geometric delay between each pair of planes and the potential of each plane; Schneider,
        Ehlers & Falco 1992, Gravitational Lenses, sect. 9.2.
        """
        self._check_grid(x, y)
        total = x.new_zeros(())
        for plane, (at_x, at_y), (d_x, d_y), _ in self._rays(x, y):
            potential = sum(
                (part.potential(at_x, at_y) for part in plane.deflectors), start=x.new_zeros(())
            )
            geometry = 0.5 * align(plane.onward, x) * (d_x * d_x + d_y * d_y)
            delay = geometry - align(plane.physical, x) * potential
            total = total + align(plane.distance, x) * delay
        return total * DAYS

    def fermat_potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Arrival time over the time-delay distance of the nearest plane, arcsec^2."""
        nearest = self._fixed[0] if self._fixed else self._planes()[0]
        z = self._grouped[0][0]
        efficiency = cosmo.lensing_efficiency(z, self.z_source, self.cosmology)
        return self.arrival_time(x, y) * align(efficiency / nearest.distance / DAYS, x)

    def _rays(
        self, x: Tensor, y: Tensor
    ) -> Iterator[
        tuple[_Plane, tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    ]:
        """Iterate over planes: position of the ray there, angle behind it, position in the next."""
        d_x, d_y = torch.zeros_like(x), torch.zeros_like(y)
        for plane in self._fixed or self._planes():
            alpha_x, alpha_y = sum_maps([part.deflection(x, y) for part in plane.deflectors])
            carried, physical = align(plane.carried, x), align(plane.physical, x)
            d_x, d_y = carried * d_x - physical * alpha_x, carried * d_y - physical * alpha_y
            onward = align(plane.onward, x)
            beta = x + onward * d_x, y + onward * d_y
            yield plane, (x, y), (d_x, d_y), beta
            x, y = beta

    def _planes(self) -> list[_Plane]:
        redshifts = [z for z, _ in self._grouped]
        to = [cosmo.transverse_comoving_distance(0.0, z, self.cosmology) for z in redshifts]
        planes = []
        for i, (z, parts) in enumerate(self._grouped):
            behind = redshifts[i + 1] if i + 1 < len(redshifts) else self.z_source
            onward = cosmo.lensing_efficiency(z, behind, self.cosmology)
            physical = 1 / cosmo.lensing_efficiency(z, self.z_source_convention, self.cosmology)
            carried = to[i - 1] / to[i] if i else 0.0
            planes.append(_Plane(parts, physical, to[i], carried, onward))
        return planes


def _group_by_plane(
    deflectors: Sequence[Deflector], redshifts: Sequence[Parameter]
) -> list[tuple[Parameter, tuple[Deflector, ...]]]:
    """Group deflectors by plane, nearest first."""
    pairs = list(zip(redshifts, deflectors, strict=True))
    if not any(isinstance(z, Tensor) for z in redshifts):
        pairs.sort(key=lambda pair: pair[0])
    planes: list[tuple[Parameter, list[Deflector]]] = []
    for z, deflector in pairs:
        before = planes[-1][0] if planes else None
        tensors = isinstance(z, Tensor) or isinstance(before, Tensor)
        if before is not None and (z is before or (not tensors and z == before)):
            planes[-1][1].append(deflector)
            continue
        hidden = any(isinstance(v, Tensor) and is_traced(v) for v in (z, before))
        checked = before is not None and tensors and not hidden
        if checked and not bool(torch.as_tensor(before < z).all()):  # type: ignore[operator]
            raise ValueError(
                "redshifts that are tensors must grow from plane to plane, and deflectors of one "
                "plane share one tensor"
            )
        planes.append((z, [deflector]))
    return [(z, tuple(parts)) for z, parts in planes]
