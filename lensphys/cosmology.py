"""Distances and the angular scales that follow from them: astropy outside, numbers inside."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from astropy.cosmology import FLRW

#: Arcseconds in a radian.
ARCSEC = 648000 / math.pi

Distances = Literal["angular_diameter", "luminosity"]


def flat_lambda_cdm(H0: float, Om0: float, Ob0: float) -> FLRW:
    """A flat cosmology with cold dark matter and without radiation, from astropy."""
    from astropy.cosmology import FlatLambdaCDM

    return FlatLambdaCDM(H0=H0, Om0=Om0, Ob0=Ob0)


def theta_E_of_mass(
    mass: float,
    z_lens: float,
    z_source: float,
    cosmology: FLRW,
    *,
    distances: Distances = "angular_diameter",
) -> float:
    """Einstein radius of a point mass, arcsec: ``theta_E^2 = 4 G M / c^2 D_ls / (D_l D_s)``.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 2.6a.

    Args:
        mass: solar masses.
        z_lens, z_source: redshifts.
        cosmology: an astropy cosmology.
        distances: ``"luminosity"`` repeats what DeepLenseSim computes, luminosity distances with
            ``D_ls = D_s - D_l`` and 206265 arcsec a radian; no lens obeys it, but the published
            data sets do.

    Raises:
        ValueError: for a mass that is not positive, or a source that is not behind the lens.
    """
    from astropy import constants, units

    _check_redshifts(z_lens, z_source)
    if not (math.isfinite(mass) and mass > 0):
        raise ValueError(f"mass must be positive and finite (solar masses), got {mass}")
    if distances == "luminosity":
        d_l, d_s = (cosmology.luminosity_distance(z) for z in (z_lens, z_source))
        d_ls, arcsec = d_s - d_l, 206265.0
    else:
        d_l, d_s = (cosmology.angular_diameter_distance(z) for z in (z_lens, z_source))
        d_ls, arcsec = cosmology.angular_diameter_distance(z_lens, z_source), ARCSEC
    radius = 4 * constants.G * mass * constants.M_sun / constants.c**2
    theta2 = (radius * d_ls / (d_l * d_s)).to_value(units.dimensionless_unscaled)
    return math.sqrt(theta2) * arcsec


def alpha_scale(
    z_lens: float, z_source: float, z_source_convention: float, cosmology: FLRW
) -> float:
    """Reduced deflection for a source at ``z_source``, per that at ``z_source_convention``.

    In lenstronomy's multi-plane convention the parameters of a profile describe the deflection of
    a source at ``z_source_convention``; with all deflectors in one plane the lens equation is that
    of a thin lens whose deflections are multiplied by ``(D_ls / D_s)`` at the source over the same
    ratio at the convention.

    Raises:
        ValueError: for a source, true or conventional, that is not behind the lens.
    """
    ratios = []
    for z in (z_source, z_source_convention):
        _check_redshifts(z_lens, z)
        d_ls = cosmology.angular_diameter_distance(z_lens, z)
        ratios.append(float(d_ls / cosmology.angular_diameter_distance(z)))
    return ratios[0] / ratios[1]


def _check_redshifts(z_lens: float, z_source: float) -> None:
    if not 0 < z_lens < z_source:
        raise ValueError(
            f"z_source must lie behind the lens, 0 < z_lens < z_source, got z_lens {z_lens} and "
            f"z_source {z_source}"
        )
