"""Mass profiles: one file a profile, one uniform interface (potential, deflection, Hessian)."""

from lensphys.mass.base import MassProfile
from lensphys.mass.convergence import ConvergenceSheet
from lensphys.mass.epl import EPL
from lensphys.mass.multipole import Multipole
from lensphys.mass.nfw import NFW
from lensphys.mass.nie import NIE
from lensphys.mass.pixelated import PixelatedConvergence
from lensphys.mass.point_mass import PointMass
from lensphys.mass.population import Population
from lensphys.mass.shear import Shear
from lensphys.mass.sie import SIE
from lensphys.mass.sis import SIS
from lensphys.mass.tnfw import TNFW
from lensphys.mass.uniform_line import UniformLine

__all__ = [
    "EPL",
    "NFW",
    "NIE",
    "SIE",
    "SIS",
    "TNFW",
    "ConvergenceSheet",
    "MassProfile",
    "Multipole",
    "PixelatedConvergence",
    "PointMass",
    "Population",
    "Shear",
    "UniformLine",
]
