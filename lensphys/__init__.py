"""Differentiable ray-tracing of the gravitational lens equation in torch.

Angles are in arcsec, parameter names are lenstronomy's; every parameter is a number or a tensor of
shape ``(B,)``, every map comes back as ``(B, ny, nx)``.
"""

from lensphys.cosmology import FlatLambdaCDM
from lensphys.critical import CriticalCurve, critical_curves
from lensphys.fit import FitResult, Fitter, fit
from lensphys.grid import pixel_grid
from lensphys.images import ImagePositions, image_positions
from lensphys.instruments import Instrument, instrument
from lensphys.layers import DeLens, RayTrace, ReLens, Render
from lensphys.lens import Lens, ThinLens
from lensphys.light import (
    Gaussian,
    LightProfile,
    PixelatedSource,
    Ring,
    Sersic,
    Spiral,
    sersic_total_flux,
)
from lensphys.mass import (
    EPL,
    NFW,
    NIE,
    SIE,
    SIS,
    TNFW,
    ConvergenceSheet,
    MassProfile,
    Multipole,
    PixelatedConvergence,
    PointMass,
    Population,
    Shear,
    UniformLine,
)
from lensphys.multiplane import MultiPlane
from lensphys.noise import Noise, background_sigma
from lensphys.psf import GaussianPSF, MoffatPSF, PixelPSF
from lensphys.render import render

__version__ = "0.1.0"

__all__ = [
    "EPL",
    "NFW",
    "NIE",
    "SIE",
    "SIS",
    "TNFW",
    "ConvergenceSheet",
    "CriticalCurve",
    "DeLens",
    "FitResult",
    "Fitter",
    "FlatLambdaCDM",
    "Gaussian",
    "GaussianPSF",
    "ImagePositions",
    "Instrument",
    "Lens",
    "LightProfile",
    "MassProfile",
    "MoffatPSF",
    "MultiPlane",
    "Multipole",
    "Noise",
    "PixelPSF",
    "PixelatedConvergence",
    "PixelatedSource",
    "PointMass",
    "Population",
    "RayTrace",
    "ReLens",
    "Render",
    "Ring",
    "Sersic",
    "Shear",
    "Spiral",
    "ThinLens",
    "UniformLine",
    "background_sigma",
    "critical_curves",
    "fit",
    "image_positions",
    "instrument",
    "pixel_grid",
    "render",
    "sersic_total_flux",
]
