"""Lens, source and lens light together; read from the parameters of lenstronomy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from lensphys.export.lenstronomy import LIGHTS, MASSES, RENAMED, to_lenstronomy
from lensphys.fitting.linear.sersics import list_prefixes
from lensphys.lens import ThinLens
from lensphys.light.base import LightProfile
from lensphys.light.gaussian import Gaussian
from lensphys.light.multi_gaussian import MultiGaussian
from lensphys.light.pixelated import PixelatedSource
from lensphys.light.sersic import Sersic
from lensphys.light.shapelets import Shapelets
from lensphys.mass.base import MassProfile
from lensphys.mass.convergence import ConvergenceSheet
from lensphys.mass.epl import EPL
from lensphys.mass.multipole import CartesianMultipole, Multipole
from lensphys.mass.nfw import NFW
from lensphys.mass.nie import NIE
from lensphys.mass.point_mass import PointMass
from lensphys.mass.shear import Shear
from lensphys.mass.sie import SIE
from lensphys.mass.sis import SIS
from lensphys.mass.tnfw import TNFW
from lensphys.parameters import Parameter, Profile, take_parameter
from lensphys.rendering import Light

_ProfileT = TypeVar("_ProfileT", bound=Profile)


def _by_name(known: Mapping[str, str], *profiles: type[_ProfileT]) -> dict[str, type[_ProfileT]]:
    return {known[profile.__name__]: profile for profile in profiles}


#: Name of lenstronomy to its profile; round lights are special cases of elliptical ones.
_MASSES: dict[str, type[MassProfile]] = {
    **_by_name(MASSES, ConvergenceSheet, EPL, Multipole, NFW, NIE),
    **_by_name(MASSES, PointMass, SIE, SIS, Shear, TNFW),
}
_LIGHTS: dict[str, type[LightProfile]] = {
    **_by_name(LIGHTS, Gaussian, MultiGaussian, PixelatedSource, Sersic, Shapelets),
    "GAUSSIAN": Gaussian,
    "MULTI_GAUSSIAN": MultiGaussian,
    "SERSIC": Sersic,
}
#: Other implementations of the same profile in lenstronomy.
_SAME_MASS = {"EPL_NUMBA": "EPL", "PEMD": "EPL"}
#: Settings that profiles of lenstronomy take beside their parameters.
_FIXED: dict[type[Profile], dict[str, str]] = {PixelatedSource: {"interpolation": "linear"}}


@dataclasses.dataclass(frozen=True, eq=False)
class LensSystem:
    """Lens, source and lens light of an image, or of a batch.

    Attributes:
        lens: the deflectors.
        source: its light before lensing, one profile or several; None without any.
        lens_light: light that is not lensed, one profile or several; None without any.
    """

    lens: ThinLens
    source: Light | None = None
    lens_light: Light | None = None

    def to_lenstronomy(self, index: int = 0) -> dict[str, Any]:
        """Convert the model of one image; see :func:`lensphys.to_lenstronomy`."""
        return to_lenstronomy(self.lens, self.source, self.lens_light, index)

    def start(self) -> dict[str, Parameter]:
        """Parameters under the names of a fit: ``theta_E``, ``a3_cos``, ``source_R_sersic`` ...

        ``lp.fit(..., start=model)`` takes them. The amplitudes that a fit solves for, those of
        shapelets and of several Gaussians or Sersics, are left out. Of several Gaussian expansions
        of the lens light the first gives the centre, and the first two give the shape.

        Raises:
            ValueError: for profiles and combinations that :func:`lensphys.fit` does not know.
        """
        start: dict[str, Parameter] = {}
        if isinstance(self.lens.alpha_scale, Tensor) or self.lens.alpha_scale != 1:
            raise ValueError("a fit has no alpha_scale: give deflections of its own source")
        kinds = [type(deflector) for deflector in self.lens.deflectors]
        main = [kind for kind in kinds if kind not in (Shear, Multipole, CartesianMultipole)]
        if len(main) != 1 or main[0] not in (SIE, EPL):
            given = ", ".join(kind.__name__ for kind in kinds)
            raise ValueError(
                f"a fit has one main mass, SIE or EPL, beside Shear and Multipole, got {given}"
            )
        for deflector in self.lens.deflectors:
            values = _read(deflector)
            own: dict[str, Parameter] = {}
            if isinstance(deflector, Multipole):
                m = deflector.m
                along, across = _components(values["a_m"], m * values["phi_m"])
                own = {f"a{m}_cos": along, f"a{m}_sin": across}
            elif isinstance(deflector, CartesianMultipole):
                own = {f"a{deflector.m}_{key}": values[f"a_{key}"] for key in ("cos", "sin")}
            else:
                own = {key: v for key, v in values.items() if key not in ("ra_0", "dec_0")}
            if twice := sorted(start.keys() & own.keys()):
                raise ValueError(f"a fit has one {twice[0]}, and the model has several")
            start |= own
        for prefix, light in (("source", self.source), ("lens_light", self.lens_light)):
            start |= _start_of_light(prefix, light)
        return start


def from_lenstronomy(
    lens_model_list: Sequence[str],
    kwargs_lens: Sequence[Mapping[str, Any]],
    source_light_model_list: Sequence[str] = (),
    kwargs_source: Sequence[Mapping[str, Any]] = (),
    lens_light_model_list: Sequence[str] = (),
    kwargs_lens_light: Sequence[Mapping[str, Any]] = (),
) -> LensSystem:
    """Convert lists of profiles and their parameters, as lenstronomy takes them.

    ``lp.from_lenstronomy(["EPL", "SHEAR"], kwargs_lens).lens`` is a lens to trace rays through, and
    ``lp.fit(..., start=lp.from_lenstronomy(**model))`` takes what
    :meth:`lensphys.FitResult.to_lenstronomy` gives. Parameters may be numbers, or ``(B,)`` for a
    batch.

    Args:
        lens_model_list: names of mass profiles, ``EPL``, ``SHEAR`` ...
        kwargs_lens: a dictionary of parameters for each.
        source_light_model_list, kwargs_source: the same for the source, ``SERSIC_ELLIPSE`` ...
        lens_light_model_list, kwargs_lens_light: the same for the light of the lens.

    Raises:
        ValueError: for lists of different lengths, unknown profiles, unknown or missing parameters,
            and values out of range.
    """
    masses = [_make_mass(*pair) for pair in _pair("kwargs_lens", lens_model_list, kwargs_lens)]
    source, lens_light = (
        _make_light(_pair(f"kwargs_{prefix}", names, kwargs))
        for prefix, names, kwargs in (
            ("source", source_light_model_list, kwargs_source),
            ("lens_light", lens_light_model_list, kwargs_lens_light),
        )
    )
    return LensSystem(ThinLens(masses), source, lens_light)


def _pair(
    what: str, names: Sequence[str], kwargs: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Any]]]:
    if len(names) != len(kwargs):
        raise ValueError(f"{what} must hold {len(names)} dictionaries, got {len(kwargs)}")
    return list(zip(names, kwargs, strict=True))


def _make_mass(name: str, values: Mapping[str, Any]) -> MassProfile:
    if name == "SHEAR_GAMMA_PSI":
        if lacking := sorted({"gamma_ext", "psi_ext"} - values.keys()):
            raise ValueError(f"{name} lacks {', '.join(lacking)}")
        given = dict(values)
        strength = take_parameter("gamma_ext", given.pop("gamma_ext"))
        gamma1, gamma2 = _components(strength, 2 * take_parameter("psi_ext", given.pop("psi_ext")))
        name, values = "SHEAR", {**given, "gamma1": gamma1, "gamma2": gamma2}
    return _make(_MASSES, "mass", _SAME_MASS.get(name, name), values)


def _components(modulus: Parameter, angle: Parameter) -> tuple[Parameter, Parameter]:
    """Modulus times cosine and sine of an angle, rad."""
    if isinstance(angle, Tensor):
        return modulus * angle.cos(), modulus * angle.sin()
    return modulus * math.cos(angle), modulus * math.sin(angle)


def _make_light(pairs: Sequence[tuple[str, Mapping[str, Any]]]) -> Light | None:
    lights = [_make(_LIGHTS, "light", name, values) for name, values in pairs]
    if len(lights) > 1:
        return lights
    return lights[0] if lights else None


def _make(
    known: Mapping[str, type[_ProfileT]], kind: str, name: str, values: Mapping[str, Any]
) -> _ProfileT:
    """The profile of a name, with the parameters that lenstronomy calls it by."""
    profile = known.get(name)
    if profile is None:
        raise ValueError(f"there is no {kind} profile {name} here; there are {', '.join(known)}")
    fixed = _FIXED.get(profile, {})
    fields = {
        RENAMED.get(field.name, field.name): field
        for field in dataclasses.fields(profile)
        if field.name not in fixed
    }
    for key in values:
        if key not in fields:
            raise ValueError(f"{name} has no parameter {key}; it has {', '.join(fields)}")
    needed = (key for key, field in fields.items() if field.default is dataclasses.MISSING)
    if lacking := [key for key in needed if key not in values]:
        raise ValueError(f"{name} lacks {', '.join(lacking)}")
    return profile(**fixed, **{fields[key].name: value for key, value in values.items()})


def _read(profile: Any) -> dict[str, Any]:
    """Parameters of a profile, each a number or ``(B,)``."""
    return {name: getattr(profile, name) for name in profile.parameter_names()}


def _start_of_light(prefix: str, light: Light | None) -> dict[str, Parameter]:
    """Parameters of a light under the names of a fit."""
    lights = [] if light is None else list(light) if isinstance(light, Sequence) else [light]
    kinds = {type(one) for one in lights}
    several = len(lights) > 1
    if not kinds <= set(_LIGHTS.values()) or (several and kinds not in ({MultiGaussian}, {Sersic})):
        known = ", ".join(sorted({kind.__name__ for kind in _LIGHTS.values()}))
        given = ", ".join(type(one).__name__ for one in lights)
        raise ValueError(f"the {prefix} of a fit is one of {known}, or several Sersic, got {given}")
    if not lights:
        return {}
    if several and kinds == {Sersic}:
        # Of several, a fit solves for the amplitudes.
        return {
            f"{own}{key}": value
            for own, one in zip(list_prefixes(prefix, len(lights)), lights, strict=True)
            for key, value in _read(one).items()
            if key != "amplitude"
        }
    first, *others = lights
    unused = {"amp", "pixel_scale", "phi_G"} | ({"sigma"} if isinstance(first, Gaussian) else set())
    start = {f"{prefix}_{key}": v for key, v in _read(first).items() if key not in unused}
    # The second ellipse of the light of a lens has the centre of the first.
    for other in others[:1]:
        values = _read(other)
        start |= {f"{prefix}_outer_{key}": values[key] for key in ("e1", "e2")}
    return start
