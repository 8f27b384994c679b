"""What the page of each profile shows: one example a profile, and how much sky to draw.

The code of an example defines `mass` or `light`; the page prints it, the figure draws what it
defines. A profile that is not listed here stops the build.
"""

from __future__ import annotations

import dataclasses
import inspect
import types

import lensphys


@dataclasses.dataclass(frozen=True)
class Example:
    """Code that defines a profile, and the width of the figure, arcsec."""

    code: str
    width: float = 4.0
    #: What the reader should know of it, in one sentence.
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
    "Spiral": Example(
        """\
light = lp.Spiral(
    amplitude=20.0, R_sersic=0.5, n_sersic=1.0, arm_contrast=1.5, pitch=0.35, R_core=0.15, e1=0.1
)""",
        width=2.5,
        caption="Two arms.",
    ),
}

TABLES = {"mass": MASS, "light": LIGHT}


def profiles(kind: str) -> dict[str, tuple[type, Example]]:
    """Every profile of `lensphys.mass` or `lensphys.light`, with its example, by name.

    Raises:
        LookupError: for a profile without an example, saying what to do.
    """
    module: types.ModuleType = getattr(lensphys, kind)
    # What says how a profile behaves is none itself.
    interfaces = {"MassProfile", "LightProfile"}
    names = [n for n in module.__all__ if n not in interfaces and inspect.isclass(vars(module)[n])]
    missing = [name for name in names if name not in TABLES[kind]]
    if missing:
        raise LookupError(
            f"docs/profiles.py has no example of {', '.join(missing)}: add a line to "
            f"{kind.upper()}, so that the page shows a figure"
        )
    return {name: (vars(module)[name], TABLES[kind][name]) for name in sorted(names, key=str.lower)}


def run(example: Example, name: str) -> object:
    """The profile that the code of an example defines under `name`."""
    scope: dict[str, object] = {}
    exec("import torch\nimport lensphys as lp\n" + example.code, scope)
    return scope[name]
