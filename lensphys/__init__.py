"""Differentiable ray-tracing of the gravitational lens equation in torch.

Angles are in arcsec, parameter names are lenstronomy's; every parameter is a number or a tensor of
shape ``(B,)``, every map comes back as ``(B, ny, nx)``.
"""

from lensphys.grid import pixel_grid
from lensphys.lens import ThinLens
from lensphys.light import Sersic, sersic_total_flux
from lensphys.mass import (
    NFW,
    SIE,
    TNFW,
    ConvergenceSheet,
    MassProfile,
    PixelatedConvergence,
    PointMass,
    Population,
    Shear,
    UniformLine,
)
from lensphys.optics import GaussianPSF, Noise, background_sigma
from lensphys.render import render

__version__ = "0.1.0"

__all__ = [
    "NFW",
    "SIE",
    "TNFW",
    "ConvergenceSheet",
    "GaussianPSF",
    "MassProfile",
    "Noise",
    "PixelatedConvergence",
    "PointMass",
    "Population",
    "Sersic",
    "Shear",
    "ThinLens",
    "UniformLine",
    "background_sigma",
    "pixel_grid",
    "render",
    "sersic_total_flux",
]
