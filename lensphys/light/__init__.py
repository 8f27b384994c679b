"""Light profiles: one file a profile, one uniform interface (surface brightness)."""

#: Range of the Sersic index in which the formula for ``b_n`` holds: half of the light is inside of
#: ``R_sersic``: 49.0% at the lower end, 49.8% at 1, 50.0% from 2 on. Below, ever less is (46.5% at
#: 0.3).
N_SERSIC: tuple[float, float] = (0.5, 10.0)

#: Every light profile by name, one line each.
LIGHTS: dict[str, str] = {
    "Gaussian": "lensphys.light.gaussian:Gaussian",
    "MultiGaussian": "lensphys.light.multi_gaussian:MultiGaussian",
    "PixelatedSource": "lensphys.light.pixelated:PixelatedSource",
    "Ring": "lensphys.light.ring:Ring",
    "Sersic": "lensphys.light.sersic:Sersic",
    "Shapelets": "lensphys.light.shapelets:Shapelets",
    "Spiral": "lensphys.light.spiral:Spiral",
}
