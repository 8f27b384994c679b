"""Angular scales at a lens: what masses and lengths there measure on the sky."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensphys import cosmology as distances

if TYPE_CHECKING:
    from astropy.cosmology import FLRW

Array = NDArray[np.float64]

#: The speed of light, km/s.
_C = 299792.458


@dataclasses.dataclass(frozen=True)
class MassScale:
    """Einstein radii of point masses at one lens redshift."""

    unit: float
    """Einstein radius of a solar mass, arcsec"""

    def theta_E(self, mass: Array | float) -> Array:
        """Einstein radius of a point mass in solar masses, arcsec."""
        return np.asarray(self.unit * np.sqrt(mass))


@dataclasses.dataclass(frozen=True)
class LensPlane:
    """Masses and lengths at the redshift of the lens, as angles.

    Args:
        z_lens, z_source: redshifts.
        cosmology: one of astropy's.

    Raises:
        ValueError: for a source that is not behind the lens.
    """

    z_lens: float
    z_source: float
    cosmology: FLRW

    def __post_init__(self) -> None:
        distances.check_behind(self.z_lens, self.z_source)

    @functools.cached_property
    def kpc_per_arcsec(self) -> float:
        """Proper length of an arcsec."""
        d_l = distances.angular_diameter_distance(0.0, self.z_lens, self.cosmology)
        return float(d_l) * 1e3 / (180 / math.pi * 3600)

    @functools.cached_property
    def sigma_critical(self) -> float:
        """Surface density of convergence 1, solar masses per arcsec^2."""
        return float(distances.sigma_critical(self.z_lens, self.z_source, self.cosmology))

    @functools.cached_property
    def critical_density(self) -> float:
        """Critical density of the universe at the redshift of the lens, solar masses per kpc^3."""
        from astropy import units

        density = self.cosmology.critical_density(self.z_lens)
        return float(density.to_value(units.Msun / units.kpc**3))

    @functools.cached_property
    def efficiency(self) -> float:
        """``D_ls / D_s``."""
        return float(distances.lensing_efficiency(self.z_lens, self.z_source, self.cosmology))

    def velocity_dispersion(self, theta_E: Array) -> Array:
        """km/s, of the isothermal sphere of this Einstein radius (Schneider et al. 1992, 8.35)."""
        radian = theta_E * math.pi / 180 / 3600
        return np.asarray(_C * np.sqrt(radian / (4 * math.pi * self.efficiency)))


def de_broglie_wavelength(mass: Array, speed: Array) -> Array:
    """``h / (m v)``, kpc, for a mass in eV (times c^-2) and a speed in km/s."""
    return np.asarray(_compton_wavelength() / mass * (_C / speed))


@functools.cache
def _compton_wavelength() -> float:
    """Compton's wavelength of a mass of 1 eV, kpc."""
    from astropy import constants, units

    return float((constants.h * constants.c / units.eV).to_value(units.kpc))
