"""Mass profiles: one file a profile, one uniform interface (potential, deflection, Hessian)."""

from lensphys.mass.base import MassProfile
from lensphys.mass.point_mass import PointMass
from lensphys.mass.population import Population
from lensphys.mass.shear import Shear
from lensphys.mass.sie import SIE

__all__ = ["SIE", "MassProfile", "PointMass", "Population", "Shear"]
