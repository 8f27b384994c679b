"""Differentiable ray-tracing of the gravitational lens equation in torch.

Angles are in arcsec, parameter names are lenstronomy's; every parameter is a number or a tensor of
shape ``(B,)``, every map comes back as ``(B, ny, nx)``.
"""

from lensphys.grid import pixel_grid
from lensphys.instruments import Instrument, instrument
from lensphys.lens import ThinLens
from lensphys.light import Gaussian, LightProfile, PixelatedSource, Sersic, sersic_total_flux
from lensphys.mass import (
    EPL,
    NIE,
    SIE,
    SIS,
    MassProfile,
    Multipole,
    PointMass,
    Population,
    Shear,
)
from lensphys.noise import Noise, background_sigma
from lensphys.psf import GaussianPSF, MoffatPSF, PixelPSF
from lensphys.render import render

__version__ = "0.1.0"

__all__ = [
    "EPL",
    "NIE",
    "SIE",
    "SIS",
    "Gaussian",
    "GaussianPSF",
    "Instrument",
    "LightProfile",
    "MassProfile",
    "MoffatPSF",
    "Multipole",
    "Noise",
    "PixelPSF",
    "PixelatedSource",
    "PointMass",
    "Population",
    "Sersic",
    "Shear",
    "ThinLens",
    "background_sigma",
    "instrument",
    "pixel_grid",
    "render",
    "sersic_total_flux",
]
