"""Light profiles: one file a profile, one uniform interface (surface brightness)."""

#: Every light profile by name, one line each.
LIGHTS: dict[str, str] = {
    "Gaussian": "lensphys.light.gaussian:Gaussian",
    "PixelatedSource": "lensphys.light.pixelated:PixelatedSource",
    "Ring": "lensphys.light.ring:Ring",
    "Sersic": "lensphys.light.sersic:Sersic",
    "Spiral": "lensphys.light.spiral:Spiral",
}
