"""Mass profiles: one file a profile, one uniform interface (potential, deflection, Hessian)."""

from __future__ import annotations

import importlib
from typing import Any

#: Every mass profile by name, one line each. A fit takes those whose parameters declare fit ranges.
MASSES: dict[str, str] = {
    "SIE": "lensphys.mass.sie:SIE",
    "EPL": "lensphys.mass.epl:EPL",
    "ConvergenceSheet": "lensphys.mass.convergence:ConvergenceSheet",
    "Multipole": "lensphys.mass.multipole:Multipole",
    "NFW": "lensphys.mass.nfw:NFW",
    "NIE": "lensphys.mass.nie:NIE",
    "PixelatedConvergence": "lensphys.mass.pixelated:PixelatedConvergence",
    "PointMass": "lensphys.mass.point_mass:PointMass",
    "Population": "lensphys.mass.population:Population",
    "SIS": "lensphys.mass.sis:SIS",
    "Shear": "lensphys.mass.shear:Shear",
    "TNFW": "lensphys.mass.tnfw:TNFW",
    "UniformLine": "lensphys.mass.uniform_line:UniformLine",
}


def find_mass(name: str) -> Any:
    """Import a registered mass profile.

    Raises:
        KeyError: for a name that is not registered.
    """
    module, _, profile = MASSES[name].partition(":")
    return getattr(importlib.import_module(module), profile)
