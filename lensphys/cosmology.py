"""Distances and the angular scales that follow from them.

Any astropy cosmology serves where redshifts are numbers; :class:`FlatLambdaCDM` where a redshift or
a cosmological parameter is a tensor. A result is a number where everything given is one, and a
tensor otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from lensphys.arrays import read_numbers
from lensphys.parameters import Parameter, Profile, is_concrete, parameter

if TYPE_CHECKING:
    from astropy.cosmology import FLRW

#: Arcseconds in a radian.
ARCSEC = 648000 / math.pi
#: Speed of light, m/s.
_C = 299792458.0
#: Metres in a megaparsec (IAU 2015, resolution B2).
_MPC = ARCSEC * 149597870700.0 * 1e6
#: Nominal G M_sun, m^3/s^2 (IAU 2015, resolution B3), as in astropy.
_GM_SUN = 1.3271244e20
#: 4 G M_sun / c^2 in Mpc: twice the Schwarzschild radius of the Sun.
_FOUR_GM = 4 * _GM_SUN / _C**2 / _MPC
#: Days that a delay of 1 arcsec^2 lasts at a time-delay distance of 1 Mpc.
DAYS = _MPC / _C / 86400 / ARCSEC**2
#: Gauss-Legendre nodes and weights on (0, 1): distances to 1e-13 up to a redshift of 1100.
_NODES, _WEIGHTS = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(48))
_NODES, _WEIGHTS = (1 + _NODES) / 2, _WEIGHTS / 2

Distances = Literal["angular_diameter", "luminosity"]
Area = Literal["arcsec^2", "Mpc^2"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FlatLambdaCDM(Profile):
    """Flat universe of matter and a cosmological constant, differentiable in all arguments.

    Without radiation, as astropy's ``FlatLambdaCDM(H0, Om0, Tcmb0=0)``.

    Args:
        H0: Hubble constant, km/s/Mpc.
        Om0: matter density today over the critical one, from 0 to 1.
    """

    H0: Parameter = parameter(unit="km/s/Mpc", low=0.0, open_low=True)
    Om0: Parameter = parameter(low=0.0, high=1.0)

    def comoving_distance(self, z1: Parameter, z2: Parameter) -> Parameter:
        """Comoving distance from redshift ``z1`` to ``z2``, Mpc, in float64.

        ``c / H0`` times the integral of ``dz / E(z)``, Hogg 1999 (astro-ph/9905116), eq. 15.
        """
        given = (read_numbers("z1", z1), read_numbers("z2", z2), self.H0, self.Om0)
        device = next((v.device for v in given if isinstance(v, Tensor)), None)
        a, b, H0, Om0 = (torch.as_tensor(v, dtype=torch.float64, device=device) for v in given)
        # In ln(1 + z), where the poles of the integrand stay pi / 3 away from the real axis
        # whatever Om0 is, so that the quadrature converges at the same rate to any redshift.
        low, high = torch.log1p(a)[..., None], torch.log1p(b)[..., None]
        nodes, weights = _NODES.to(a.device), _WEIGHTS.to(a.device)
        stretch = torch.exp(low + (high - low) * nodes)
        matter = Om0[..., None]
        integral = (weights * stretch / torch.sqrt(1 + matter * (stretch**3 - 1))).sum(-1)
        distance = _C / 1e3 / H0 * (high - low)[..., 0] * integral
        return distance if any(isinstance(v, Tensor) for v in given) else distance.item()


@dataclasses.dataclass(frozen=True)
class FlatDistances:
    """Distances of astropy's ``FlatLambdaCDM(H0, Om0)``, to the last digit.

    Between plain numbers, in closed form (Baes et al. 2017, eq. 5). To import astropy's cosmologies
    takes two seconds.

    Args:
        H0: Hubble constant, km/s/Mpc.
        Om0: matter density today over the critical one, above 0 and below 1.
    """

    H0: float
    Om0: float

    def angular_diameter_distance(self, z1: float, z2: float) -> float:
        """Proper transverse size per angle at ``z2``, seen from ``z1``, Mpc."""
        s = ((1 - self.Om0) / self.Om0) ** (1 / 3)
        near, far = (self._integral(s / (z + 1)) for z in (z1, z2))
        hubble_distance = _C / self.H0 * 1e-3
        return float(hubble_distance / np.sqrt(s * self.Om0) * (near - far) / (z2 + 1))

    @staticmethod
    def _integral(x: float) -> float:
        from scipy.special import hyp2f1

        integral: float = 2 * np.sqrt(x) * hyp2f1(1 / 6, 1 / 2, 7 / 6, -(x**3))
        return integral


#: Any cosmology of astropy's, its distances alone, or a differentiable one.
Cosmology: TypeAlias = "FLRW | FlatDistances | FlatLambdaCDM"


def flat_lambda_cdm(H0: float, Om0: float, Ob0: float) -> FLRW:
    """A flat cosmology with cold dark matter and without radiation, from astropy."""
    from astropy.cosmology import FlatLambdaCDM

    return FlatLambdaCDM(H0=H0, Om0=Om0, Ob0=Ob0)


def transverse_comoving_distance(z1: Parameter, z2: Parameter, cosmology: Cosmology) -> Parameter:
    """Distance per angle across the line of sight at ``z2``, seen from ``z1``, comoving Mpc.

    ``1 + z2`` times the angular-diameter distance; Hogg 1999 (astro-ph/9905116), eq. 16.

    Raises:
        ValueError: for a tensor with a cosmology of astropy's, which cannot carry its gradient.
    """
    if isinstance(cosmology, FlatLambdaCDM):
        return cosmology.comoving_distance(z1, z2)
    z1, z2 = read_numbers("z1", z1), read_numbers("z2", z2)
    if isinstance(z1, Tensor) or isinstance(z2, Tensor):
        raise ValueError(
            "a redshift that is a tensor needs lensphys.cosmology.FlatLambdaCDM, got "
            f"{type(cosmology).__name__} of astropy"
        )
    distance = cosmology.angular_diameter_distance(z1, z2)
    return float(getattr(distance, "value", distance) * (1 + z2))


def angular_diameter_distance(z1: Parameter, z2: Parameter, cosmology: Cosmology) -> Parameter:
    """Proper transverse size per angle at ``z2``, seen from ``z1``, Mpc.

    Raises:
        ValueError: for a tensor with a cosmology of astropy's, which cannot carry its gradient.
    """
    return transverse_comoving_distance(z1, z2, cosmology) / (1 + read_numbers("z2", z2))


def lensing_efficiency(z_lens: Parameter, z_source: Parameter, cosmology: Cosmology) -> Parameter:
    """``D_ls / D_s``: reduced deflection over the physical one, between 0 and 1.

    Raises:
        ValueError: for a source that is not behind the lens.
    """
    z_lens, z_source = check_behind(z_lens, z_source)
    d_ls = transverse_comoving_distance(z_lens, z_source, cosmology)
    return d_ls / transverse_comoving_distance(0.0, z_source, cosmology)


def theta_E_of_mass(
    mass: Parameter,
    z_lens: Parameter,
    z_source: Parameter,
    cosmology: Cosmology,
    *,
    distances: Distances = "angular_diameter",
) -> Parameter:
    """Einstein radius of a point mass, arcsec: ``theta_E^2 = 4 G M / c^2 D_ls / (D_l D_s)``.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 2.6a.

    Args:
        mass: solar masses.
        z_lens, z_source: redshifts.
        cosmology: of astropy's, or a differentiable one.
        distances: ``"luminosity"`` repeats what DeepLenseSim computes: luminosity distances with
            ``D_ls = D_s - D_l`` and 206265 arcsec per radian. No lens obeys it, but the published
            data sets do.

    Raises:
        ValueError: for a mass that is not positive, a source that is not behind the lens, or
            distances of another kind.
    """
    z_lens, z_source = check_behind(z_lens, z_source)
    mass = _read_positive("mass", mass, "solar masses")
    if distances not in ("angular_diameter", "luminosity"):
        raise ValueError(f"distances must be 'angular_diameter' or 'luminosity', got {distances!r}")
    if distances == "luminosity":
        d_l, d_s = (
            transverse_comoving_distance(0.0, z, cosmology) * (1 + z) for z in (z_lens, z_source)
        )
        d_ls, arcsec = d_s - d_l, 206265.0
    else:
        d_l = angular_diameter_distance(0.0, z_lens, cosmology)
        d_s = angular_diameter_distance(0.0, z_source, cosmology)
        d_ls, arcsec = angular_diameter_distance(z_lens, z_source, cosmology), ARCSEC
    return (_FOUR_GM * mass * d_ls / (d_l * d_s)) ** 0.5 * arcsec


def mass_of_theta_E(
    theta_E: Parameter, z_lens: Parameter, z_source: Parameter, cosmology: Cosmology
) -> Parameter:
    """Mass inside the Einstein radius (arcsec) of a round lens, solar masses.

    The inverse of :func:`theta_E_of_mass`.

    Raises:
        ValueError: for a radius that is not positive, or a source that is not behind the lens.
    """
    theta_E = _read_positive("theta_E", theta_E, "arcsec")
    sigma = sigma_critical(z_lens, z_source, cosmology)
    return math.pi * theta_E * theta_E * sigma


def sigma_critical(
    z_lens: Parameter, z_source: Parameter, cosmology: Cosmology, *, per: Area = "arcsec^2"
) -> Parameter:
    """Critical surface density ``c^2 / (4 pi G) D_s / (D_l D_ls)``, of convergence 1.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 5.5. lenstronomy's is 2.7e-4 smaller,
    since its ``G M_sun`` is not the nominal one.

    Args:
        z_lens, z_source: redshifts.
        cosmology: of astropy's, or a differentiable one.
        per: solar masses per arcsec^2 of sky, or per proper Mpc^2 of the lens plane.

    Raises:
        ValueError: for a source that is not behind the lens, or another unit of area.
    """
    if per not in ("arcsec^2", "Mpc^2"):
        raise ValueError(f"per must be 'arcsec^2' or 'Mpc^2', got {per!r}")
    z_lens, z_source = check_behind(z_lens, z_source)
    d_l = angular_diameter_distance(0.0, z_lens, cosmology)
    efficiency = lensing_efficiency(z_lens, z_source, cosmology)
    if per == "Mpc^2":
        return 1 / (math.pi * _FOUR_GM * d_l * efficiency)
    return d_l / (math.pi * _FOUR_GM * ARCSEC**2 * efficiency)


def time_delay_distance(z_lens: Parameter, z_source: Parameter, cosmology: Cosmology) -> Parameter:
    """``(1 + z_l) D_l D_s / D_ls``, Mpc: light-travel time over Fermat potential, times ``c``.

    Suyu et al. 2010 (ApJ 711, 201), eq. 4.

    Raises:
        ValueError: for a source that is not behind the lens.
    """
    efficiency = lensing_efficiency(z_lens, z_source, cosmology)
    return transverse_comoving_distance(0.0, z_lens, cosmology) / efficiency


def alpha_scale(
    z_lens: Parameter, z_source: Parameter, z_source_convention: Parameter, cosmology: Cosmology
) -> Parameter:
    """Reduced deflection for a source at ``z_source``, per that at ``z_source_convention``.

    In lenstronomy's multi-plane convention the parameters of a profile describe the deflection of
    a source at ``z_source_convention``; with all deflectors in one plane the lens equation is that
    of a thin lens whose deflections are multiplied by ``(D_ls / D_s)`` at the source over the same
    ratio at the convention.

    Raises:
        ValueError: for a source, true or conventional, that is not behind the lens.
    """
    at_source = lensing_efficiency(z_lens, z_source, cosmology)
    check_behind(z_lens, z_source_convention, source="z_source_convention")
    return at_source / lensing_efficiency(z_lens, z_source_convention, cosmology)


def check_behind(
    z_lens: Parameter,
    z_source: Parameter,
    lens: str = "z_lens",
    source: str = "z_source",
) -> tuple[Parameter, Parameter]:
    """Return redshifts of a lens and a source, called ``lens`` and ``source``.

    Raises:
        ValueError: unless ``0 < z_lens < z_source``.
    """
    z_lens, z_source = read_numbers(lens, z_lens), read_numbers(source, z_source)
    if not (is_concrete(z_lens) and is_concrete(z_source)):
        return z_lens, z_source
    ordered = (z_lens > 0) & (z_lens < z_source) & (z_source < math.inf)  # type: ignore[operator]
    if not (bool(ordered.all()) if isinstance(ordered, Tensor) else ordered):
        shown = [
            "a tensor"
            if isinstance(z, Tensor) and z.numel() > 1
            else f"{round(z.item() if isinstance(z, Tensor) else z, 6)}"
            for z in (z_lens, z_source)
        ]
        raise ValueError(
            f"{source} must lie behind the lens, 0 < {lens} < {source}, got {lens} {shown[0]} and "
            f"{source} {shown[1]}"
        )
    return z_lens, z_source


def _read_positive(name: str, value: Parameter, unit: str) -> Parameter:
    value = read_numbers(name, value, unit)
    if isinstance(value, Tensor):
        valid = not is_concrete(value) or bool((torch.isfinite(value) & (value > 0)).all())
    else:
        valid = math.isfinite(value) and value > 0
    if not valid:
        shown = "a tensor" if isinstance(value, Tensor) and value.numel() > 1 else f"{value}"
        raise ValueError(f"{name} must be positive and finite ({unit}), got {shown}")
    return value
