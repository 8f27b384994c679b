"""Thin lens: deflectors in one plane, and maps of their effect on light."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, Protocol, Self

from torch import Tensor

from lensphys.cosmology import DAYS
from lensphys.mass.base import Deflecting, Unchanging
from lensphys.mass.shear import Shear
from lensphys.parameters import (
    Parameter,
    align,
    check_batches,
    check_positions,
    move,
    read_parameter,
    shared_shape,
    take_parameter,
)


class Deflector(Protocol):
    """Part of a lens: a mass profile or a population of them."""

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection, arcsec."""

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential."""

    def to(self, *args: Any, **kwargs: Any) -> Deflector:
        """The same on another device or in another precision, as :meth:`torch.Tensor.to`."""


class Lens(Deflecting, Unchanging):
    """Lens of one plane or of several: maps that follow from the Jacobian.

    Coordinates ``x, y`` are tensors, arrays, lists or numbers, in arcsec, of shape ``(ny, nx)`` or
    ``(B, ny, nx)``; every map comes back as ``(B, ny, nx)``, or ``(ny, nx)`` where nothing is
    batched. For numbers and flat lists the axes of the map are left out.
    """

    def __init__(self, deflectors: Sequence[Deflector], **parameters: Parameter) -> None:
        if not isinstance(deflectors, Sequence):
            kind = type(deflectors).__name__
            raise ValueError(f"deflectors must be a list of mass profiles, got {kind}")
        if not deflectors:
            raise ValueError("a lens needs at least one deflector")
        for i, deflector in enumerate(deflectors):
            if not hasattr(deflector, "deflection"):
                kind = type(deflector).__name__
                raise ValueError(f"deflector {i} must be a mass profile, got {kind}")
        self.deflectors = tuple(deflectors)
        batches = [
            (f"{_name(d)} (deflector {i})", tuple(getattr(d, "batch_shape", ())))
            for i, d in enumerate(deflectors)
        ]
        self._batches = batches + [
            (name, tuple(value.shape) if isinstance(value, Tensor) else ())
            for name, value in parameters.items()
        ]
        check_batches(self._batches)

    @abc.abstractmethod
    def ray_trace(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Source-plane position ``beta(theta)``, arcsec."""

    @abc.abstractmethod
    def jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Derivatives of ``beta`` with respect to ``theta``: ``(xx, xy, yx, yy)``.

        ``xy`` is that of ``beta_x`` with respect to ``y``.
        """

    @abc.abstractmethod
    def fermat_potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Arrival time over time-delay distance, arcsec^2."""

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(psi_xx, psi_xy, psi_yy)``: the symmetric part of the derivatives of the deflection."""
        xx, xy, yx, yy = self.jacobian(x, y)
        return 1 - xx, -0.5 * (xy + yx), 1 - yy

    @abc.abstractmethod
    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the lens on another device or in another precision, as :meth:`torch.Tensor.to`.

        Numbers stay numbers: they take device and precision of the grid.
        """

    def magnification(self, x: Tensor, y: Tensor) -> Tensor:
        """Signed magnification ``1 / det(d beta / d theta)``; infinite on critical curves."""
        xx, xy, yx, yy = self.jacobian(x, y)
        return 1 / (xx * yy - xy * yx)

    def batch_with(self, **shapes: Sequence[int]) -> tuple[int, ...]:
        """Batch shape of the lens together with further ones.

        Raises:
            ValueError: if they do not go together, naming each.
        """
        named = self._batches + [(name, tuple(shape)) for name, shape in shapes.items()]
        check_batches(named)
        return tuple(shared_shape(shape for _, shape in named))

    def _check_grid(self, x: Tensor, y: Tensor) -> None:
        check_positions(x, y)
        grid = [("the grid's x", tuple(x.shape[:-2])), ("the grid's y", tuple(y.shape[:-2]))]
        check_batches(self._batches + grid)


class ThinLens(Lens):
    """Deflectors in one lens plane, in front of one source plane.

    Coordinates ``x, y`` are in arcsec, of shape ``(ny, nx)`` or ``(B, ny, nx)``; every map comes
    back as ``(B, ny, nx)``, or ``(ny, nx)`` where nothing is batched.

    Args:
        deflectors: mass profiles, whose deflections add.
        alpha_scale: factor on all deflections, from the source redshift that the parameters are
            reduced to (lenstronomy's ``z_source_convention``) to that of the source; see
            :func:`lensphys.cosmology.alpha_scale`.

    Raises:
        ValueError: for a lens without deflectors, a scale that is not finite, and for batches of
            deflectors, scale and grid that do not go together.
    """

    def __init__(self, deflectors: Sequence[Deflector], *, alpha_scale: Parameter = 1.0) -> None:
        alpha_scale = take_parameter("alpha_scale", alpha_scale)
        super().__init__(deflectors, alpha_scale=alpha_scale)
        self.alpha_scale = alpha_scale

    def __repr__(self) -> str:
        scaled = isinstance(self.alpha_scale, Tensor) or self.alpha_scale != 1
        scale = f", alpha_scale={self.alpha_scale!r}" if scaled else ""
        return f"{type(self).__name__}({list(self.deflectors)!r}{scale})"

    def to(self, *args: Any, **kwargs: Any) -> Self:
        scale = move(self.alpha_scale, *args, **kwargs)
        return type(self)(
            [deflector.to(*args, **kwargs) for deflector in self.deflectors], alpha_scale=scale
        )

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""
        self._check_grid(x, y)
        total = sum((d.potential(x, y) for d in self.deflectors), start=x.new_zeros(()))
        return total * align(self.alpha_scale, x)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection ``(alpha_x, alpha_y)``, arcsec."""
        self._check_grid(x, y)
        alpha_x, alpha_y = sum_maps([d.deflection(x, y) for d in self.deflectors])
        if isinstance(self.alpha_scale, float) and self.alpha_scale == 1:
            return alpha_x, alpha_y
        scale = align(self.alpha_scale, x)
        return alpha_x * scale, alpha_y * scale

    def ray_trace(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Source-plane position ``beta = theta - alpha(theta)``, arcsec."""
        shears = [d for d in self.deflectors if type(d) is Shear]
        others = [d for d in self.deflectors if type(d) is not Shear]
        unscaled = isinstance(self.alpha_scale, float) and self.alpha_scale == 1
        if len(shears) == 1 and others and unscaled:
            self._check_grid(x, y)
            alpha_x, alpha_y = sum_maps([d.deflection(x, y) for d in others])
            return shears[0].ray_trace(x, y, alpha_x, alpha_y)
        alpha_x, alpha_y = self.deflection(x, y)
        return x - alpha_x, y - alpha_y

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``, dimensionless."""
        self._check_grid(x, y)
        xx, xy, yy = sum_maps([d.hessian(x, y) for d in self.deflectors])
        scale = align(self.alpha_scale, x)
        return xx * scale, xy * scale, yy * scale

    def jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        psi_xx, psi_xy, psi_yy = self.hessian(x, y)
        return 1 - psi_xx, -psi_xy, -psi_xy, 1 - psi_yy

    def fermat_potential(
        self,
        x: Tensor,
        y: Tensor,
        beta_x: Parameter | None = None,
        beta_y: Parameter | None = None,
    ) -> Tensor:
        """Fermat potential ``(theta - beta)^2 / 2 - psi(theta)``, arcsec^2; less arrives earlier.

        Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 5.11.

        Args:
            x, y: image positions, arcsec.
            beta_x, beta_y: source position, arcsec, one for all images: numbers, or ``(B,)``; or
                one for each image, maps like ``x``. Without them, the position that each ray
                comes from.

        Raises:
            ValueError: for one coordinate of the source without the other, or one that is not
                finite.
        """
        if (beta_x is None) != (beta_y is None):
            raise ValueError("beta_x and beta_y must be given together")
        if beta_x is None or beta_y is None:
            beta_x, beta_y = self.ray_trace(x, y)
        else:
            beta_x = read_parameter("beta_x", beta_x, "arcsec")
            beta_y = read_parameter("beta_y", beta_y, "arcsec")
            # More axes than (B,) are those of a map.
            beta_x, beta_y = (
                v if isinstance(v, Tensor) and v.ndim > 1 else align(v, x) for v in (beta_x, beta_y)
            )
        return 0.5 * ((x - beta_x) ** 2 + (y - beta_y) ** 2) - self.potential(x, y)

    def arrival_time(
        self,
        x: Tensor,
        y: Tensor,
        D_dt: Parameter,
        beta_x: Parameter | None = None,
        beta_y: Parameter | None = None,
    ) -> Tensor:
        """Arrival time, days, against a straight ray through an empty lens.

        Args:
            x, y: image positions, arcsec.
            D_dt: time-delay distance, Mpc; see :func:`lensphys.cosmology.time_delay_distance`.
            beta_x, beta_y: as for :meth:`fermat_potential`.

        Raises:
            ValueError: for a distance that is not positive.
        """
        D_dt = read_parameter("D_dt", D_dt, "Mpc", positive=True)
        return align(D_dt, x) * DAYS * self.fermat_potential(x, y, beta_x, beta_y)


def sum_maps(maps: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    """Sum each component over all deflectors."""
    return [sum(parts[1:], start=parts[0]) for parts in zip(*maps, strict=True)]


def _name(deflector: Deflector) -> str:
    profile = getattr(deflector, "profile", None)
    kind = type(deflector).__name__
    return kind if profile is None else f"{kind} of {type(profile).__name__}"
