"""Mass profiles: one file a profile, one uniform interface (potential, deflection, Hessian)."""

from lensphys.mass.base import MassProfile
from lensphys.mass.epl import EPL
from lensphys.mass.multipole import Multipole
from lensphys.mass.nie import NIE
from lensphys.mass.point_mass import PointMass
from lensphys.mass.population import Population
from lensphys.mass.shear import Shear
from lensphys.mass.sie import SIE
from lensphys.mass.sis import SIS

__all__ = [
    "EPL",
    "NIE",
    "SIE",
    "SIS",
    "MassProfile",
    "Multipole",
    "PointMass",
    "Population",
    "Shear",
]
