"""Models as dictionaries of lenstronomy's parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from lensphys.export.profiles import read_profile, take_image
from lensphys.lens import Deflector, ThinLens
from lensphys.light.pixelated import PixelatedSource
from lensphys.light.shapelets import Shapelets
from lensphys.mass.multipole import CartesianMultipole
from lensphys.rendering import Light

#: Mass profiles by class: lenstronomy's name. Parameters have the same names.
MASSES = {
    "ConvergenceSheet": "CONVERGENCE",
    "EPL": "EPL",
    "Multipole": "MULTIPOLE",
    "NFW": "NFW",
    "NIE": "NIE",
    "PointMass": "POINT_MASS",
    "SIE": "SIE",
    "SIS": "SIS",
    "Shear": "SHEAR",
    "TNFW": "TNFW",
}
#: Light profiles by class: lenstronomy's name.
LIGHTS = {
    "Gaussian": "GAUSSIAN_ELLIPSE",
    "MultiGaussian": "MULTI_GAUSSIAN_ELLIPSE",
    "PixelatedSource": "INTERPOL",
    "Sersic": "SERSIC_ELLIPSE",
    "Shapelets": "SHAPELETS",
}
#: Parameters that have another name in lenstronomy.
RENAMED = {"amplitude": "amp", "pixel_scale": "scale"}

Kwargs = dict[str, Any]


def to_lenstronomy(
    lens: ThinLens, source: Light | None = None, lens_light: Light | None = None, index: int = 0
) -> Kwargs:
    """Convert one model of a batch into lists and dictionaries that lenstronomy takes.

    Args:
        lens: of one image or of a batch; its ``alpha_scale`` has no place in lenstronomy's lists.
        source, lens_light: one light profile or several, of one image or of a batch; or None.
        index: image of the batch.

    Returns:
        ``lens_model_list``, ``kwargs_lens``, ``source_light_model_list``, ``kwargs_source``,
        ``lens_light_model_list``, ``kwargs_lens_light``: names of profiles, and a dictionary of
        floats and arrays for each. Light is surface brightness, flux per arcsec^2, in both
        programs.

    Raises:
        ValueError: for profiles that lenstronomy has not.
    """
    model: Kwargs = {}
    parts = (
        ("lens_model_list", "kwargs_lens", lens.deflectors, _convert_mass),
        ("source_light_model_list", "kwargs_source", _as_list(source), _convert_light),
        ("lens_light_model_list", "kwargs_lens_light", _as_list(lens_light), _convert_light),
    )
    convert: Callable[[Any, int], tuple[str, Kwargs]]
    for names, kwargs, profiles, convert in parts:
        converted = [convert(profile, index) for profile in profiles]
        model[names] = [name for name, _ in converted]
        model[kwargs] = [values for _, values in converted]
    return model


def _as_list(light: Light | None) -> Sequence[Any]:
    if light is None:
        return ()
    return light if isinstance(light, Sequence) else (light,)


def _convert_mass(profile: Deflector, index: int) -> tuple[str, Kwargs]:
    if isinstance(profile, CartesianMultipole):
        values = _read(profile, index)
        along, across = values.pop("a_cos"), values.pop("a_sin")
        angle = math.atan2(across, along) / profile.m
        return "MULTIPOLE", {
            "m": profile.m,
            "a_m": math.hypot(along, across),
            "phi_m": angle,
            **values,
        }
    name = _find(MASSES, profile, "mass")
    order = {"m": profile.m} if hasattr(profile, "m") else {}
    return name, order | _read(profile, index)


def _convert_light(profile: Any, index: int) -> tuple[str, Kwargs]:
    name = _find(LIGHTS, profile, "light")
    values = _read(profile, index)
    if isinstance(profile, PixelatedSource):
        if profile.interpolation != "linear":
            raise ValueError(
                "lenstronomy interpolates a pixelated source linearly, this one is "
                f"{profile.interpolation}; take PixelatedSource(..., interpolation='linear')"
            )
        values["image"] = take_image(torch.as_tensor(profile.image), index, 2).cpu().numpy()
    if isinstance(profile, Shapelets):
        values["n_max"] = profile.n_max
    return name, values


def _find(known: Mapping[str, str], profile: object, kind: str) -> str:
    kept = type(profile).__name__
    if kept not in known:
        raise ValueError(
            f"lenstronomy has no {kind} profile like {kept}; it has those of {', '.join(known)}"
        )
    return known[kept]


def _read(profile: Any, index: int) -> Kwargs:
    """Parameters of one image under lenstronomy's names."""
    return {RENAMED.get(name, name): value for name, value in read_profile(profile, index).items()}
