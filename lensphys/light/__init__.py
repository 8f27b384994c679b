"""Light profiles: one file a profile, one uniform interface (surface brightness)."""

from lensphys.light.base import LightProfile
from lensphys.light.gaussian import Gaussian
from lensphys.light.pixelated import PixelatedSource
from lensphys.light.ring import Ring
from lensphys.light.sersic import Sersic, sersic_total_flux
from lensphys.light.spiral import Spiral

__all__ = [
    "Gaussian",
    "LightProfile",
    "PixelatedSource",
    "Ring",
    "Sersic",
    "Spiral",
    "sersic_total_flux",
]
