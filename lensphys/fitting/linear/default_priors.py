"""Priors of real lenses: weak ones, from what is known of galaxies and seen of this one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds
from lensphys.fitting.linear.sersics import name_in_first
from lensphys.fitting.priors import Priors

#: Slope of the mass of early-type lenses, Auger et al. 2010 (ApJ 724, 511): mean and scatter.
_SLOPE = 2.08, 0.16
#: Scatter of both components of the shear of galaxy-scale lenses.
_SHEAR = 0.05
#: Shear beyond which a lens would belong to a cluster.
_MOST_SHEAR = 0.15
#: Scatter of mass about light, ellipticity and centre (arcsec): Koopmans et al. 2006 (ApJ 649,
#: 599) and Bolton et al. 2008 (ApJ 682, 964) find mass and light aligned.
_SHAPE, _CENTRE = 0.12, 0.05
#: Scatter of the ellipticity of a dark lens, and of its centre in radii of the arcs.
_DARK_SHAPE, _DARK_CENTRE = 0.25, 0.15
#: Amplitude of multipoles, in Einstein radii: Hao et al. 2006 (MNRAS 370, 1339).
_MULTIPOLE = 0.01
#: Scatter of the ellipticity of the light, and of its centre, in radii of the arcs.
_LIGHT_SHAPE, _LIGHT_CENTRE = 0.3, 0.15
#: Einstein radius and offset of the source, in radii of the arcs: mean and scatter.
_RADIUS, _OFFSET = (0.9, 0.5), 0.35
#: Scale of the source: mean in radii of the arcs, and scatter in units of the largest scale.
_BETA = 0.075, 0.215
#: Largest scale of shapelets, in Einstein radii: broad ones take up the light of the lens.
BROADEST = 0.14


def narrow_bounds(
    bounds: Bounds,
    names: Collection[str],
    arc_radius: Tensor,
    theta_E: Tensor,
    broadest: float,
) -> None:
    """Narrow the ranges of parameters to what lenses of galaxies can have.

    Args:
        bounds: of all parameters.
        names: of the parameters whose range may be narrowed.
        arc_radius: radius of the arcs of every row, ``(rows,)``, arcsec.
        theta_E: Einstein radius that every row starts from.
        broadest: largest scale of shapelets, in Einstein radii.
    """
    limits: dict[str, tuple[Tensor | float | None, Tensor | float]] = {
        "theta_E": (0.2 * arc_radius, 1.2 * arc_radius),
        "gamma1": (-_MOST_SHEAR, _MOST_SHEAR),
        "gamma2": (-_MOST_SHEAR, _MOST_SHEAR),
        "source_beta": (0.015 * arc_radius, broadest * theta_E),
        "source_R_sersic": (None, 0.7 * theta_E),
    }
    for name in names:
        if (first := name_in_first(name)) in limits:
            bounds.narrow(name, *limits[first])


def make_priors(
    names: tuple[str, ...],
    arc_radius: Tensor,
    light: Mapping[str, Tensor] | None,
    broadest: float = BROADEST,
) -> Priors:
    """Default priors of the parameters that have one.

    Args:
        names: of all parameters.
        arc_radius: radius of the arcs of every row, ``(rows,)``, arcsec.
        light: centre ``center_x``, ``center_y`` and ellipticity ``e1``, ``e2`` of the light of the
            lens, ``(rows,)``; None where the lens is dark.
        broadest: largest scale of shapelets, in Einstein radii.
    """
    one = torch.ones_like(arc_radius)
    known: dict[str, tuple[Tensor, Tensor]] = {
        "theta_E": (_RADIUS[0] * arc_radius, _RADIUS[1] * arc_radius),
        "gamma": (_SLOPE[0] * one, _SLOPE[1] * one),
        "source_beta": (_BETA[0] * arc_radius, _BETA[1] * broadest * arc_radius),
    }
    for name in ("gamma1", "gamma2"):
        known[name] = 0 * one, _SHEAR * one
    for name in ("a1_cos", "a1_sin", "a3_cos", "a3_sin", "a4_cos", "a4_sin"):
        known[name] = 0 * one, _MULTIPOLE * arc_radius
    shape_scatter, centre_scatter = _SHAPE * one, _CENTRE * one
    if light is None:
        light = dict.fromkeys(("e1", "e2", "center_x", "center_y"), 0 * one)
        shape_scatter, centre_scatter = _DARK_SHAPE * one, _DARK_CENTRE * arc_radius
    for name in ("e1", "e2"):
        known[name] = light[name], shape_scatter
        known[f"source_{name}"] = 0 * one, _LIGHT_SHAPE * one
        for part in ("lens_light_", "lens_light_outer_"):
            known[part + name] = 0 * one, _LIGHT_SHAPE * one
    for name in ("center_x", "center_y"):
        known[name] = light[name], centre_scatter
        known[f"source_{name}"] = light[name], _OFFSET * arc_radius
        known[f"lens_light_{name}"] = light[name], _LIGHT_CENTRE * arc_radius
    none = 0 * one, math.inf * one
    mean, sd = zip(*(known.get(name_in_first(name), none) for name in names), strict=True)
    return Priors(names, torch.stack(mean, 1), torch.stack(sd, 1))
