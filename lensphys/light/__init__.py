"""Light profiles: one file a profile, one uniform interface (surface brightness)."""

from lensphys.light.base import LightProfile
from lensphys.light.sersic import Sersic, sersic_total_flux

__all__ = ["LightProfile", "Sersic", "sersic_total_flux"]
