from .caustics import CriticalCurve, critical_curves
from .cosmology import FlatLambdaCDM
from .fitting.fitter import FitResult, Fitter, fit
from .grid import pixel_grid
from .instruments import Instrument, instrument
from .layers import DeLens, RayTrace, ReLens, Render
from .lens import Lens, ThinLens
from .lens_equation import ImagePositions, image_positions
from .light import (
    Gaussian,
    LightProfile,
    PixelatedSource,
    Ring,
    Sersic,
    Spiral,
    sersic_total_flux,
)
from .mass import (
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
from .multiplane import MultiPlane
from .noise import Noise, background_sigma
from .psf import GaussianPSF, MoffatPSF, PixelPSF
from .rendering import render

__version__: str

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
