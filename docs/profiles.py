"""Content of the page of each profile: one example, and the width of the sky to draw.

The code of an example defines `mass` or `light`; the page prints it, the figure draws what it
defines. A profile that is not listed here is shown with the starting values of its fit ranges; one
that declares none stops the build.
"""

from __future__ import annotations

import dataclasses

import lensphys
from lensphys.light import LIGHTS
from lensphys.mass import MASSES
from lensphys.parameters import Profile


@dataclasses.dataclass(frozen=True)
class Example:
    """Code that defines a profile, and the width of the figure, arcsec."""

    code: str
    width: float = 4.0
    #: One sentence about the profile.
    caption: str = ""


MASS = {
    "ConvergenceSheet": Example("mass = lp.ConvergenceSheet(kappa=0.1)"),
    "EPL": Example("mass = lp.EPL(theta_E=1.2, gamma=1.8, e1=0.2, e2=0.1)"),
    "Multipole": Example(
        "mass = lp.Multipole(m=4, a_m=0.05, phi_m=0.3)",
        caption="Made to be added to an elliptical lens, not to be one.",
    ),
    "NFW": Example("mass = lp.NFW(Rs=3.0, alpha_Rs=1.5)"),
    "NIE": Example("mass = lp.NIE(theta_E=1.2, e1=0.2, e2=0.1, s_scale=0.15)"),
    "PixelatedConvergence": Example(
        """\
map_x, map_y = lp.pixel_grid(100, 0.05)
ring = torch.exp(-(((torch.hypot(map_x, map_y) - 1.0) / 0.2) ** 2))
kappa = 0.8 * ring * (1 + 0.5 * torch.sin(2 * torch.atan2(map_y, map_x)))
mass = lp.PixelatedConvergence(kappa=kappa, pixel_scale=0.05)""",
        caption="A lumpy ring, on pixels of 0.05 arcsec.",
    ),
    "PointMass": Example("mass = lp.PointMass(theta_E=1.0)"),
    "Population": Example(
        """\
random = torch.Generator().manual_seed(5)
center_x, center_y = 3.0 * torch.rand(2, 30, generator=random) - 1.5
theta_E = 0.02 + 0.06 * torch.rand(30, generator=random)
mass = lp.Population(lp.SIS(theta_E=theta_E, center_x=center_x, center_y=center_y))""",
        caption="Thirty small isothermal spheres.",
    ),
    "Shear": Example("mass = lp.Shear(gamma1=0.1, gamma2=0.05)"),
    "SIE": Example("mass = lp.SIE(theta_E=1.2, e1=0.2, e2=0.1)"),
    "SIS": Example("mass = lp.SIS(theta_E=1.2)"),
    "TNFW": Example("mass = lp.TNFW(Rs=1.0, alpha_Rs=1.0, r_trunc=2.0)"),
    "UniformLine": Example("mass = lp.UniformLine(theta_E=0.8, half_length=0.7, phi=0.5)"),
}

LIGHT = {
    "Gaussian": Example("light = lp.Gaussian(amp=10.0, sigma=0.3, e1=0.2, e2=0.1)", width=2.5),
    "MultiGaussian": Example(
        """\
light = lp.MultiGaussian(
    amp=[2.0, 6.0, 6.0, 3.0], sigma=[0.03, 0.1, 0.25, 0.6], e1=0.2, e2=0.1
)""",
        width=2.5,
        caption="A galaxy of four Gaussians; some twenty follow a real one.",
    ),
    "PixelatedSource": Example(
        """\
map_x, map_y = lp.pixel_grid(80, 0.025)
r, angle = torch.hypot(map_x, map_y), torch.atan2(map_y, map_x)
arms = 1 + 0.8 * torch.cos(2 * angle - 9 * torch.log(r + 0.1))
light = lp.PixelatedSource(image=30 * torch.exp(-r / 0.2) * arms, pixel_scale=0.025, phi_G=0.4)""",
        width=2.5,
        caption="A galaxy of two arms, on pixels of 0.025 arcsec.",
    ),
    "Ring": Example("light = lp.Ring(amp=10.0, R_ring=0.7, sigma=0.1, e1=0.1, e2=0.1)", width=2.5),
    "Sersic": Example(
        "light = lp.Sersic(amplitude=20.0, R_sersic=0.4, n_sersic=2.0, e1=0.2, e2=0.1)", width=2.5
    ),
    "Shapelets": Example(
        """\
random = torch.Generator().manual_seed(3)
amp = torch.randn(28, generator=random) / (1 + torch.arange(28))
light = lp.Shapelets(amp=20 * amp.abs(), n_max=6, beta=0.15)""",
        width=2.5,
        caption="28 functions, up to order 6.",
    ),
    "Spiral": Example(
        """\
light = lp.Spiral(
    amplitude=20.0, R_sersic=0.5, n_sersic=1.0, arm_contrast=1.5, pitch=0.35, R_core=0.15, e1=0.1
)""",
        width=2.5,
        caption="Two arms.",
    ),
}

#: Half the field of view, arcsec, and the peak that starting values of a fit are scaled by.
_HALF_FIELD, _PEAK = 2.0, 20.0


def make_example(kind: str, name: str) -> Example | None:
    """Return an example at the starting values of a fit, or None without a declared one."""
    profile = getattr(lensphys, name, None)
    if not (isinstance(profile, type) and issubclass(profile, Profile)):
        return None
    known = profile.fit_ranges()
    fields = [field for field in dataclasses.fields(profile) if field.init]
    required = [field.name for field in fields if field.default is dataclasses.MISSING]
    if not set(required) <= set(known):
        return None
    units = {"": 1.0, "half field": _HALF_FIELD, "peak": _PEAK}
    values = {name: known[name].start * units[known[name].unit] for name in required}
    values |= {axis: value for axis, value in (("e1", 0.2), ("e2", 0.1)) if axis in known}
    given = ", ".join(f"{key}={value:g}" for key, value in values.items())
    return Example(f"{kind} = lp.{name}({given})")


REGISTRIES = {"mass": MASSES, "light": LIGHTS}
TABLES = {"mass": MASS, "light": LIGHT}
for _kind, _table in TABLES.items():
    for _name in REGISTRIES[_kind]:
        if _name not in _table and (_made := make_example(_kind, _name)):
            _table[_name] = _made


def profiles(kind: str) -> dict[str, tuple[type, Example]]:
    """Every registered mass or light profile, with its example, by name.

    Raises:
        LookupError: for a profile without an example, saying what to do.
    """
    names = sorted(REGISTRIES[kind], key=str.lower)
    missing = [name for name in names if name not in TABLES[kind]]
    if missing:
        raise LookupError(
            f"docs/profiles.py has no example of {', '.join(missing)}: add a line to "
            f"{kind.upper()}, so that the page shows a figure"
        )
    return {name: (getattr(lensphys, name), TABLES[kind][name]) for name in names}


def run(example: Example, name: str) -> object:
    """Return the profile that the code of an example defines under `name`."""
    scope: dict[str, object] = {}
    exec("import torch\nimport lensphys as lp\n" + example.code, scope)
    return scope[name]
