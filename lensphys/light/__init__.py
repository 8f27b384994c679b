"""Light profiles: one file a profile, one uniform interface (surface brightness)."""

from lensphys.light.base import LightProfile
from lensphys.light.gaussian import Gaussian
from lensphys.light.pixelated import PixelatedSource
from lensphys.light.sersic import Sersic, sersic_total_flux

__all__ = ["Gaussian", "LightProfile", "PixelatedSource", "Sersic", "sersic_total_flux"]
