"""Cost of single precision: errors of every mass profile, float32 against float64.

    python benchmarks/float32_accuracy.py [--write docs/reference/float32.md]

Both precisions are given the same numbers, those that float32 can hold, so that the errors are
those of the computation alone. Random parameters are the same every time.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lensphys as lp
from lensphys.fit_range import FitRange
from lensphys.mass import MASSES, find_mass
from lensphys.parameters import Profile

#: Random lenses of each profile.
N_LENSES = 100
METHODS = {"potential": "arcsec²", "deflection": "arcsec", "hessian": ""}

TEXT = """\
# Single precision

What float32 costs: enough for images, whose noise is larger by orders of magnitude. Critical
curves and image positions are computed in float64 whatever the default is; for time delays, which
are small differences of large numbers, give float64 positions.

The largest error of {n} random lenses on 40 x 40 pixels of 0.1 arcsec, float32 against float64,
both given the same float32 parameters and positions; relative where a value is above 1, absolute
below.

{table}

Written by `python benchmarks/float32_accuracy.py --write docs/reference/float32.md`.
"""

#: Makes a batch of random lenses of one profile.
Draw = Callable[[torch.Generator, int], Any]

#: Distribution of each parameter, uniform or uniform in the logarithm, in place of its fit range.
RANGES: dict[str, tuple[str, float, float]] = {
    "theta_E": ("uniform", 0.1, 2.0),
    "gamma": ("uniform", 1.3, 2.7),
    "e1": ("uniform", -0.4, 0.4),
    "e2": ("uniform", -0.4, 0.4),
    "s_scale": ("log", 1e-3, 1.0),
    "center_x": ("uniform", -0.3, 0.3),
    "center_y": ("uniform", -0.3, 0.3),
    "gamma1": ("uniform", -0.3, 0.3),
    "gamma2": ("uniform", -0.3, 0.3),
    "ra_0": ("uniform", -0.3, 0.3),
    "dec_0": ("uniform", -0.3, 0.3),
    "a_m": ("uniform", -0.2, 0.2),
    "phi_m": ("uniform", 0.0, 2 * math.pi),
    "r_E": ("uniform", 0.5, 2.0),
    "kappa": ("uniform", -0.2, 0.2),
    "Rs": ("log", 0.1, 10.0),
    "alpha_Rs": ("uniform", 0.1, 2.0),
    "r_trunc": ("log", 0.1, 30.0),
    "half_length": ("log", 1e-3, 2.0),
    "phi": ("uniform", 0.0, 2 * math.pi),
}


#: Half the field of view, arcsec, that fit ranges are scaled by.
HALF_FIELD = 2.0


def draw_parameters(
    profile: type[Profile], random: torch.Generator, *shape: int
) -> dict[str, Tensor]:
    """Draw parameters of a profile at random, float32, of the given shape.

    Raises:
        LookupError: for a parameter without a range.
    """
    found, declared = {}, profile.fit_ranges()
    for name in profile.parameter_names():
        if name in RANGES:
            scale, low, high = RANGES[name]
        elif name in declared:
            scale, low, high = convert_range(declared[name])
        else:
            raise LookupError(f"RANGES in benchmarks/float32_accuracy.py lacks {name}")
        u = torch.rand(shape, generator=random, dtype=torch.float64)
        value = low * (high / low) ** u if scale == "log" else low + (high - low) * u
        found[name] = value.float()
    return found


def convert_range(known: FitRange) -> tuple[str, float, float]:
    """Return the distribution over a fit range, in the unit of its parameter."""
    unit = HALF_FIELD if known.unit == "half field" else 1.0
    return "log" if known.log else "uniform", known.low * unit, known.high * unit


def _population(random: torch.Generator, n: int) -> Any:
    return lp.Population(lp.SIS(**draw_parameters(lp.SIS, random, n, 20)))


def _pixels(random: torch.Generator, n: int) -> Any:
    kappa = torch.rand(n, 50, 50, generator=random, dtype=torch.float64).float()
    center_x = torch.full((n,), 0.03)
    return lp.PixelatedConvergence(kappa=kappa, pixel_scale=0.1, center_x=center_x, center_y=-0.02)


#: Profiles that need more than parameters, by the name in the table.
SPECIAL: dict[str, dict[str, Draw]] = {
    "Multipole": {
        f"Multipole, m = {m}": lambda random, n, m=m: lp.Multipole(
            m=m, **draw_parameters(lp.Multipole, random, n)
        )
        for m in (1, 3, 4)
    },
    "Population": {"Population of 20 SIS": _population},
    "PixelatedConvergence": {"PixelatedConvergence": _pixels},
}


def cases() -> dict[str, Draw]:
    """Functions that draw each registered profile, by the name in the table."""
    found: dict[str, Draw] = {}
    for name in sorted(MASSES, key=str.lower):
        profile = find_mass(name)
        plain = {
            name: lambda random, n, profile=profile: profile(**draw_parameters(profile, random, n))
        }
        found |= SPECIAL.get(name, plain)
    return found


def errors(draw: Draw, n: int = N_LENSES) -> dict[str, float]:
    """The largest error of each map, over its own size where that is above 1."""
    mass = draw(torch.Generator().manual_seed(0), n)
    x, y = lp.pixel_grid(40, 0.1, dtype=torch.float32)
    found = {}
    for method in METHODS:
        single, double = (
            getattr(mass, method)(x.to(dtype), y.to(dtype))
            for dtype in (torch.float32, torch.float64)
        )
        pair = [torch.stack(v if isinstance(v, tuple) else (v,)) for v in (single, double)]
        size = pair[1].abs().amax(0).clamp_min(1.0)
        found[method] = float(((pair[0].double() - pair[1]).abs() / size).max())
    return found


def page() -> str:
    """The page of the site, Markdown."""
    head = "".join(f" {m}{unit and f' [{unit}]'} |" for m, unit in METHODS.items())
    rows = []
    for name, draw in cases().items():
        found = errors(draw)
        cells = (f"{found[m]:.0e}" if found[m] else "0" for m in METHODS)
        rows.append(f"| {name} | {' | '.join(cells)} |")
    table = "\n".join([f"| profile |{head}", "|---" + "|--:" * len(METHODS) + "|", *rows])
    return TEXT.format(n=N_LENSES, table=table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="file to write the page to")
    written = parser.parse_args().write
    text = page()
    if written:
        written.write_text(text, encoding="utf-8")
    else:
        print(text)
