"""Models as dictionaries of lenstronomy's parameters, out and in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from lensphys.export.profiles import read_profile, take_image
from lensphys.fitting.linear.sersics import list_prefixes
from lensphys.lens import Deflector, ThinLens
from lensphys.light.pixelated import PixelatedSource
from lensphys.light.shapelets import Shapelets
from lensphys.mass.multipole import CartesianMultipole
from lensphys.rendering import Light

#: Mass profiles by class: lenstronomy's name. Parameters have the same names.
_MASSES = {
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
_LIGHTS = {
    "Gaussian": "GAUSSIAN_ELLIPSE",
    "MultiGaussian": "MULTI_GAUSSIAN_ELLIPSE",
    "PixelatedSource": "INTERPOL",
    "Sersic": "SERSIC_ELLIPSE",
    "Shapelets": "SHAPELETS",
}
#: Parameters that have another name in lenstronomy.
_RENAMED = {"amplitude": "amp", "pixel_scale": "scale"}
#: Parameters of lenstronomy's lights that a fit solves for, or does not vary.
_LINEAR = {"n_max", "sigma", "image", "scale", "phi_G"}

Kwargs = dict[str, Any]


def to_lenstronomy(
    lens: ThinLens, source: Light | None, lens_light: Light | None, index: int = 0
) -> Kwargs:
    """Convert one model of a batch into lists and dictionaries that lenstronomy takes.

    Args:
        lens, source, lens_light: profiles, each of one image or of a batch.
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


def from_lenstronomy(
    lens_model_list: Sequence[str],
    kwargs_lens: Sequence[Mapping[str, Any]],
    source_light_model_list: Sequence[str] = (),
    kwargs_source: Sequence[Mapping[str, Any]] = (),
    lens_light_model_list: Sequence[str] = (),
    kwargs_lens_light: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Convert a model of lenstronomy into the ``start`` of :func:`lensphys.fit`.

    ``lp.fit(..., start=lp.from_lenstronomy(**model))`` takes what
    :meth:`lensphys.FitResult.to_lenstronomy` gives. Names are those of a fit: ``theta_E``,
    ``gamma1``, ``a3_cos``, ``source_R_sersic``, ``lens_light_e1`` ... Amplitudes that a fit solves
    for, of shapelets and of several Gaussians, are left out.

    Args:
        lens_model_list, kwargs_lens: one main mass, and perhaps ``SHEAR`` and ``MULTIPOLE``.
        source_light_model_list, kwargs_source: one light profile at most, or several
            ``SERSIC_ELLIPSE``: ``source_R_sersic``, ``source_2_R_sersic`` ...
        lens_light_model_list, kwargs_lens_light: the same, or several ``MULTI_GAUSSIAN_ELLIPSE`` of
            one centre, of which the first two are taken.

    Raises:
        ValueError: for lists of different lengths, and profiles that a fit has not.
    """
    start: dict[str, Any] = {}
    main = [name for name in lens_model_list if name not in ("SHEAR", "MULTIPOLE")]
    if len(main) != 1 or main[0] not in ("SIE", "EPL"):
        given = ", ".join(lens_model_list) or "nothing"
        raise ValueError(
            f"a fit has one main mass, SIE or EPL, beside SHEAR and MULTIPOLE, got {given}"
        )
    for name, values in _pair("kwargs_lens", lens_model_list, kwargs_lens):
        if name == "MULTIPOLE":
            m, turn = int(values["m"]), int(values["m"]) * values["phi_m"]
            start[f"a{m}_cos"] = values["a_m"] * math.cos(turn)
            start[f"a{m}_sin"] = values["a_m"] * math.sin(turn)
        else:
            start |= {key: v for key, v in values.items() if key not in ("ra_0", "dec_0")}
    for prefix, names, kwargs in (
        ("source", source_light_model_list, kwargs_source),
        ("lens_light", lens_light_model_list, kwargs_lens_light),
    ):
        start |= _read_light(prefix, names, kwargs)
    return start


def _read_light(
    prefix: str, names: Sequence[str], kwargs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    pairs = _pair(f"kwargs_{prefix}", names, kwargs)
    kinds = set(names)
    several = len(pairs) > 1 and kinds not in ({"MULTI_GAUSSIAN_ELLIPSE"}, {"SERSIC_ELLIPSE"})
    if several or (pairs and pairs[0][0] not in _LIGHTS.values()):
        known = ", ".join(_LIGHTS.values())
        raise ValueError(
            f"the {prefix} of a fit is one of {known}, or several SERSIC_ELLIPSE, "
            f"got {', '.join(names)}"
        )
    if not pairs:
        return {}
    if len(pairs) > 1 and kinds == {"SERSIC_ELLIPSE"}:
        # Of several, a fit solves for the amplitudes.
        return {
            f"{own}{key}": value
            for own, (_, values) in zip(list_prefixes(prefix, len(pairs)), pairs, strict=True)
            for key, value in values.items()
            if key != "amp"
        }
    name, values = pairs[0]
    kept = {key: value for key, value in values.items() if key not in _LINEAR}
    amplitude = kept.pop("amp", None)
    if name == "SERSIC_ELLIPSE":
        kept["amplitude"] = amplitude
    start = {f"{prefix}_{key}": value for key, value in kept.items()}
    # The second ellipse of the light of a lens has the centre of the first.
    for _, other in pairs[1:2]:
        start |= {f"{prefix}_outer_{key}": other[key] for key in ("e1", "e2")}
    return start


def _pair(
    what: str, names: Sequence[str], kwargs: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Any]]]:
    if len(names) != len(kwargs):
        raise ValueError(f"{what} must hold {len(names)} dictionaries, got {len(kwargs)}")
    return list(zip(names, kwargs, strict=True))


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
    name = _find(_MASSES, profile, "mass")
    order = {"m": profile.m} if hasattr(profile, "m") else {}
    return name, order | _read(profile, index)


def _convert_light(profile: Any, index: int) -> tuple[str, Kwargs]:
    name = _find(_LIGHTS, profile, "light")
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
    return {_RENAMED.get(name, name): value for name, value in read_profile(profile, index).items()}
