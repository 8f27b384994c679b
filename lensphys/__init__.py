"""Differentiable ray-tracing of the gravitational lens equation in torch.

Angles are in arcsec, parameter names are lenstronomy's; every parameter is a number or a tensor of
shape ``(B,)``, every map comes back as ``(B, ny, nx)``.
"""

from lensphys.cosmology import FlatLambdaCDM
from lensphys.critical import CriticalCurve, critical_curves
from lensphys.grid import pixel_grid
from lensphys.images import ImagePositions, image_positions
from lensphys.layers import DeLens, RayTrace, ReLens, Render
from lensphys.lens import Lens, ThinLens
from lensphys.light import Sersic, sersic_total_flux
from lensphys.mass import SIE, MassProfile, PointMass, Population, Shear
from lensphys.multiplane import MultiPlane
from lensphys.optics import GaussianPSF, Noise, background_sigma
from lensphys.render import render

__version__ = "0.1.0"

__all__ = [
    "SIE",
    "CriticalCurve",
    "DeLens",
    "FlatLambdaCDM",
    "GaussianPSF",
    "ImagePositions",
    "Lens",
    "MassProfile",
    "MultiPlane",
    "Noise",
    "PointMass",
    "Population",
    "RayTrace",
    "ReLens",
    "Render",
    "Sersic",
    "Shear",
    "ThinLens",
    "background_sigma",
    "critical_curves",
    "image_positions",
    "pixel_grid",
    "render",
    "sersic_total_flux",
]
