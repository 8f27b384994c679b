"""Elliptical power law."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lensphys import fit_range
from lensphys.ellipticity import stretch
from lensphys.fit_range import FitRange
from lensphys.kernels import launch
from lensphys.mass.base import MassProfile
from lensphys.mass.distance import FARTHEST, MOST_STEEP
from lensphys.parameters import Parameter, is_concrete, needs_backward, parameter

#: Radius (arcsec) inside which the singular centre is flattened; lenstronomy's EPL has the same.
#: At slope 2.95 the gradient of the Hessian grows as r^-2.95: this one still fits into float32.
_CORE = 1e-9
#: Ellipticity that the series is summed for if the true one is unknown, and the largest of all.
_FLATTEST_UNSEEN, _FLATTEST = 0.9, math.sqrt(0.9999)


def series_terms(modulus: float, dtype: torch.dtype) -> int:
    """Number of terms that :func:`epl_deflection` needs for ellipticities up to ``modulus``.

    Exact to the rounding of ``dtype``: in float64 16 at 0.3, 25 at 0.6 and 58 at 0.9, where the
    power series of the paper needs about 300.
    """
    root = math.sqrt(1 - modulus)  # |k| and, below, |w| of _Angular on the minor axis, the extremes
    ratio = max((1 - root) / (1 + root), 1e-4)
    tail = torch.finfo(dtype).eps * (1 - ratio) * root
    return max(math.ceil(math.log(tail) / math.log(ratio)), 2)


class _Radial(NamedTuple):
    """Position on the stretched plane, and the deflection there but for its direction."""

    inverse: Tensor  # 1 / |W|, 1/arcsec
    wx: Tensor  # W / |W|
    wy: Tensor
    log_ratio: Tensor  # log(theta_E s / |W|), with s^2 = 1 - |e|^2
    strength: Tensor  # |W| (theta_E s / |W|)^t / theta_E, dimensionless


def _radial(
    x: Tensor, y: Tensor, theta_E: Tensor, gamma: Tensor, e1: Tensor, e2: Tensor
) -> _Radial:
    wx, wy = stretch(x, y, e1, e2)
    inverse = torch.rsqrt((wx * wx + wy * wy).clamp_min(_CORE * _CORE))
    s = torch.sqrt(1 - e1 * e1 - e2 * e2)
    # The floor gives a lens without mass a finite gradient; one power of theta_E is left to the
    # caller, so that such a lens does nothing.
    log_ratio = torch.log((theta_E * s).clamp_min(_CORE) * inverse)
    strength = s * torch.exp((gamma - 2) * log_ratio)
    return _Radial(inverse, wx * inverse, wy * inverse, log_ratio, strength)


class _Angular:
    """``E(u) = (1 - F(u)) / u`` with ``F(u) = 2F1(1, t/2; 2 - t/2; -u)`` for ``u = conj(e) v``.

    ``E`` is the mean of ``tau / (1 + u tau)`` over a Beta distribution of ``tau``. With
    ``k = sqrt(1 + u)`` and ``w = (1 - k) / (1 + k)`` the integrand is ``1 + 2 sum_n T_n(2 tau - 1)
    w^n`` over ``k``, the generating function of the Chebyshev polynomials: the coefficients
    ``a_n`` of ``k E`` are their mean values, and ``|w|`` is less than a quarter where ``|u|`` is
    0.6. No position angle appears, and nothing is singular at ``e = 0``.
    """

    def __init__(self, vx: Tensor, vy: Tensor, e1: Tensor, e2: Tensor) -> None:
        self.ux, self.uy = e1 * vx + e2 * vy, e1 * vy - e2 * vx
        a = 1 + self.ux
        norm = torch.sqrt(a * a + self.uy * self.uy)  # |k|^2; no less than 1 - |e|
        kx = torch.sqrt(0.5 * (norm + a))
        ky = 0.5 * self.uy / kx
        self.inverse_k = kx / norm, -ky / norm
        denominator = 1 / (1 + 2 * kx + norm)
        self.wx, self.wy = (1 - norm) * denominator, -2 * ky * denominator
        self.twice_wx = 2 * self.wx
        self.minus_w2 = -(self.wx * self.wx + self.wy * self.wy)

    def sum(self, a: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """``sum_n a_n w^n / k`` by Goertzel's recurrence, two real operations a term."""
        after, b = a[-1], torch.addcmul(a[-2], self.twice_wx, a[-1])
        for coefficient in reversed(a[:-2]):
            recurred = torch.addcmul(coefficient, self.twice_wx, b)
            after, b = b, torch.addcmul(recurred, self.minus_w2, after)
        return _product((b - self.wx * after, self.wy * after), self.inverse_k)


def _product(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _recurrence(t: Tensor, terms: int) -> tuple[Tensor, Tensor, Tensor]:
    """``n``, ``c + n`` and ``d = n - c`` for the recurrence of the Chebyshev moments.

    ``(c + n) m_(n+1) = (3t - 2) m_n + (n - c) m_(n-1)`` with ``c = 3 - t/2``: Piessens & Branders
    1973 (BIT 13, 443), for the weight ``tau^(t/2) (1 - tau)^(1-t)``. It is stable forwards.
    """
    n = torch.arange(terms, dtype=t.dtype, device=t.device).view(-1, *[1] * t.ndim)
    return n, n + (3 - 0.5 * t), n - (3 - 0.5 * t)


def _coefficients(t: Tensor, terms: int) -> tuple[Tensor, ...]:
    """``a_0 .. a_terms`` of :class:`_Angular`, each of the shape of ``t``."""
    _, plus, minus = _recurrence(t, terms)
    p, q = ((3 * t - 2) / plus).unbind(), (minus / plus).unbind()
    a = [t / (4 - t)]
    a.append(a[0] * p[0])
    for n in range(1, terms):
        # The 2 of 2 m_n, which m_0 lacks.
        before = 2 * a[0] if n == 1 else a[n - 1]
        a.append(torch.addcmul(q[n] * before, p[n], a[n]))
    return tuple(a)


def _coefficient_slopes(t: Tensor, a: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Derivatives of :func:`_coefficients` with respect to ``t``."""
    n, plus, minus = _recurrence(t, len(a) - 1)
    # All but the recurrence itself at once: for one lens, small operations are what takes time.
    known = torch.stack((0 * a[0], 2 * a[0], *a[1:-2])), torch.stack(a[:-1])
    inhomogeneous = ((n * known[0] + (8 + 3 * n) * known[1]) / (plus * plus)).unbind()
    p, q = ((3 * t - 2) / plus).unbind(), (minus / plus).unbind()
    slopes = [4 / ((4 - t) * (4 - t))]
    slopes.append(torch.addcmul(inhomogeneous[0], p[0], slopes[0]))
    for i in range(1, len(a) - 1):
        before = 2 * slopes[0] if i == 1 else slopes[i - 1]
        homogeneous = torch.addcmul(inhomogeneous[i], p[i], slopes[i])
        slopes.append(torch.addcmul(homogeneous, q[i], before))
    return tuple(slopes)


def epl_deflection(
    x: Tensor,
    y: Tensor,
    theta_E: Tensor,
    gamma: Tensor,
    e1: Tensor,
    e2: Tensor,
    terms: int,
) -> tuple[Tensor, Tensor]:
    """Deflection of an EPL at the origin.

    Tessore & Metcalf 2015 (A&A 580, A79), eq. 13, with ``t = gamma - 1`` and in the complex
    stretched position ``W``: ``alpha = W (theta_E sqrt(1 - |e|^2) / |W|)^t (1 - u E(u))`` for
    ``u = conj(e) W^2 / |W|^2``; see :class:`_Angular`.
    """
    radial = _radial(x, y, theta_E, gamma, e1, e2)
    wx, wy = radial.wx, radial.wy
    angular = _Angular(wx * wx - wy * wy, 2 * wx * wy, e1, e2)
    uEx, uEy = _product((angular.ux, angular.uy), angular.sum(_coefficients(gamma - 1, terms)))
    scale = theta_E * radial.strength
    fx, fy = _product((wx, wy), (1 - uEx, -uEy))
    return scale * fx, scale * fy


def epl_hessian(
    x: Tensor,
    y: Tensor,
    theta_E: Tensor,
    gamma: Tensor,
    e1: Tensor,
    e2: Tensor,
    terms: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Hessian of an EPL at the origin, from its deflection.

    Tessore & Metcalf 2015 (A&A 580, A79), eq. 2 and 17 with its corrigendum: ``kappa = (2 - t) / 2
    (theta_E / R)^t`` and ``gamma = (1 - t) alpha z / |z|^2 - kappa z^2 / |z|^2``.
    """
    radial = _radial(x, y, theta_E, gamma, e1, e2)
    alpha = epl_deflection(x, y, theta_E, gamma, e1, e2, terms)
    return _hessian(x, y, theta_E, gamma, radial, alpha)


def _hessian(
    x: Tensor,
    y: Tensor,
    theta_E: Tensor,
    gamma: Tensor,
    radial: _Radial,
    alpha: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    kappa = 0.5 * (3 - gamma) * theta_E * radial.strength * radial.inverse
    # No direction, and so no shear, at the very centre.
    inverse = torch.rsqrt((x * x + y * y).clamp_min(_CORE * _CORE))
    zx, zy = x * inverse, y * inverse
    ax, ay = _product(alpha, (zx, zy))
    slope = (2 - gamma) * inverse
    gamma1 = slope * ax - kappa * (zx * zx - zy * zy)
    gamma2 = slope * ay - kappa * (2 * zx * zy)
    return kappa + gamma1, gamma2, kappa - gamma1


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class EPL(MassProfile):
    """Elliptical power law, ``kappa = (3 - gamma) / 2 (theta_E / R)^(gamma - 1)``.

    ``R = sqrt(q x^2 + y^2 / q)`` in the frame of the ellipse. Exact to rounding. Inside
    vmap, jvp or a compiled graph, where the value of the ellipticity is unknown, the series is as
    long as ``|e| = 0.9`` needs, or what the profile was made with if that was flatter; lenses that
    are flatter still are then less exact, to 1e-9 at 0.95. In float32 derivatives of the Hessian
    within 1e-8 arcsec of the centre overflow where a slope near 2.95 meets a theta_E above 10.

    Args:
        theta_E: circularised Einstein radius, arcsec.
        gamma: negative slope of the density in three dimensions, 2 where isothermal.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        center_x, center_y: centre, arcsec.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")
    #: Ellipticity that a compiled graph, which cannot look at values, sums for; of each instance
    #: its own, and no field.
    _unseen: ClassVar[float] = _FLATTEST_UNSEEN

    theta_E: Parameter = parameter(
        unit="arcsec", low=0.0, high=MOST_STEEP, fit=fit_range.EINSTEIN_RADIUS
    )
    gamma: Parameter = parameter(low=1.05, high=2.95, fit=FitRange(low=1.2, high=2.8, start=2.0))
    e1: Parameter = parameter(0.0, fit=fit_range.E1)
    e2: Parameter = parameter(0.0, fit=fit_range.E2)
    center_x: Parameter = parameter(
        0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST, fit=fit_range.CENTER_X
    )
    center_y: Parameter = parameter(
        0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST, fit=fit_range.CENTER_Y
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Never less: parameters may change in place, as an optimiser does.
        object.__setattr__(self, "_unseen", max(_FLATTEST_UNSEEN, self._largest_ellipticity()))

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        # The potential is homogeneous of degree 3 - gamma about its centre (Euler's theorem).
        p = self.align(x)
        alpha_x, alpha_y = self.deflection(x, y)
        return ((x - p["center_x"]) * alpha_x + (y - p["center_y"]) * alpha_y) / (3 - p["gamma"])

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if (alpha := self._compiled_deflection(x, y)) is not None:
            return alpha
        return epl_deflection(*self._centred(x, y), self._terms(x.dtype))

    def _compiled_deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
        """Compute the deflection in one loop over the pixels, if it can; without gradients."""
        p = self.align(x)
        inputs = (x, y, *p.values())
        if needs_backward(*inputs) or (given := launch.prepare(*inputs)) is None:
            return None
        slope = torch.from_numpy(given.parameters[1]) - 1
        coefficients = torch.stack(_coefficients(slope, self._terms(x.dtype)), dim=-1)
        alpha = given.empty_maps(2)
        given.run("epl.fill_deflection", (), launch.as_array(coefficients), *alpha.numpy())
        alpha_x, alpha_y = alpha.view(2, *given.shape).unbind()
        return alpha_x, alpha_y

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return epl_hessian(*self._centred(x, y), terms=self._terms(x.dtype))

    def deflection_jacobian(
        self, x: Tensor, y: Tensor
    ) -> tuple[tuple[Tensor, Tensor], dict[str, tuple[Tensor, Tensor]]]:
        """Deflection, and its derivative with respect to every parameter, in closed form.

        With ``D = (theta_E s / |W|)^t W^2 E(u) / conj(W)`` the Wirtinger derivatives are
        ``d alpha / d conj(e) = (2 - t) / (2 s^2) D`` and ``d alpha / d e = -(2 - t) / (2 s^2)
        ((theta_E s / |W|)^t conj(W) + conj(e) alpha)``: from the differential equation of the
        hypergeometric function, with ``s^2 = 1 - |e|^2``.

        Returns:
            ``(alpha_x, alpha_y)``, arcsec, and for every parameter ``p`` the pair
            ``(d alpha_x / d p, d alpha_y / d p)``; every map has the shape of the whole batch.
        """
        x, y, theta_E, gamma, e1, e2 = self._centred(x, y)
        a = _coefficients(gamma - 1, self._terms(x.dtype))
        radial = _radial(x, y, theta_E, gamma, e1, e2)
        w, strength = (radial.wx, radial.wy), radial.strength
        v = _product(w, w)
        angular = _Angular(*v, e1, e2)
        u = angular.ux, angular.uy

        E = angular.sum(a)
        uEx, uEy = _product(u, E)
        fx, fy = _product(w, (1 - uEx, -uEy))
        scale = theta_E * strength
        alpha_x, alpha_y = alpha = scale * fx, scale * fy
        slope_x, slope_y = _product(w, _product(u, angular.sum(_coefficient_slopes(gamma - 1, a))))

        factor = 0.5 * (3 - gamma) / (1 - e1 * e1 - e2 * e2)
        scaled = factor * scale
        dx, dy = _product(w, _product(v, E))
        bar_x, bar_y = scaled * dx, scaled * dy
        plain_x = -scaled * radial.wx - factor * (e1 * alpha_x + e2 * alpha_y)
        plain_y = scaled * radial.wy - factor * (e1 * alpha_y - e2 * alpha_x)

        xx, xy, yy = _hessian(x, y, theta_E, gamma, radial, alpha)
        per_theta_E = (gamma - 1) * strength
        return alpha, {
            "theta_E": (per_theta_E * fx, per_theta_E * fy),
            "gamma": (
                radial.log_ratio * alpha_x - scale * slope_x,
                radial.log_ratio * alpha_y - scale * slope_y,
            ),
            "e1": (plain_x + bar_x, plain_y + bar_y),
            "e2": (bar_y - plain_y, plain_x - bar_x),
            "center_x": (-xx, -xy),
            "center_y": (-xy, -yy),
        }

    def _centred(
        self, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        return x, y, p["theta_E"], p["gamma"], p["e1"], p["e2"]

    def _terms(self, dtype: torch.dtype) -> int:
        return series_terms(self._largest_ellipticity(), dtype)

    def _largest_ellipticity(self) -> float:
        if not (is_concrete(self.e1) and is_concrete(self.e2)):
            return self._unseen
        square = self.e1 * self.e1 + self.e2 * self.e2
        if isinstance(square, Tensor):
            square = square.detach().max().item() if square.numel() else 0.0
        # Changed in place to none at all, or to NaN, the deflection becomes NaN by itself.
        return min(math.sqrt(square), _FLATTEST) if square >= 0 else _FLATTEST
