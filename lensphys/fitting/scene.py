"""Parametric scene that is fitted: a lens, a source and, if wanted, the light of the lens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lensphys.fit_range import FitRange
from lensphys.kernels import launch
from lensphys.lens import ThinLens
from lensphys.light.sersic import B_N, Sersic
from lensphys.mass import MASSES, find_mass
from lensphys.mass.base import MassProfile
from lensphys.mass.shear import Shear
from lensphys.mass.sie import SIE
from lensphys.rendering import Pixels, render_on

_SIE, _SHEAR, _SERSIC = (tuple(part.fit_ranges()) for part in (SIE, Shear, Sersic))
#: Parameters without which no template of a lens can be drawn.
_CENTER = ("center_x", "center_y")
_NEEDED = ("theta_E", *_CENTER)
#: Starts of the light of a lens, an elliptical galaxy, in the units of the fit range; those of the
#: profile suit a source, which is smaller and more like a disc.
_LENS_LIGHT_STARTS = {"n_sersic": 3.0, "R_sersic": 0.2}
#: Einstein radii from the lens within which a ray does not constrain its centre: behind a singular
#: centre light jumps from one side of the source to the other, and its slope there would outweigh
#: all other pixels of an image.
_NEAR = 1e-4


def find_fittable_mass(name: str) -> type[MassProfile]:
    """Return the registered mass profile of this name, all of whose parameters can be fitted.

    Raises:
        ValueError: for a name that is not registered, with those that are; for a profile that
            declares no fit range of a parameter that has no default, or has no Einstein radius or
            no centre.
    """
    if name not in MASSES or (lacking := _list_unfittable(find_mass(name))):
        fittable = [known for known in MASSES if not _list_unfittable(find_mass(known))]
        problem = f"mass must be one of {', '.join(fittable)}, got {name!r}"
        reason = f", which has no fit range of {', '.join(lacking)}" if name in MASSES else ""
        raise ValueError(problem + reason)
    profile: type[MassProfile] = find_mass(name)
    return profile


def _list_unfittable(profile: type) -> list[str]:
    """List what a class lacks to be the main deflector of a fit."""
    if not issubclass(profile, MassProfile):
        return list(_NEEDED)
    required = [
        field.name
        for field in dataclasses.fields(profile)
        if field.init and field.default is dataclasses.MISSING
    ]
    known = profile.fit_ranges()
    return [name for name in dict.fromkeys((*_NEEDED, *required)) if name not in known]


class LensScene:
    """Main deflector + external shear + Sersic source (+ Sersic light of the lens).

    Parameters travel as one tensor ``(B, P)`` in the order of :attr:`names`: those of the mass
    profile and of the shear under their own names, those of the source with the prefix
    ``source_``, those of the lens light with ``lens_light_``. Parameters that declare no fit range
    keep their default.

    Args:
        mass: a key of :data:`lensphys.mass.MASSES`, of a profile that can be fitted.
        lens_light: fit the light of the lens too.

    Attributes:
        ranges: fit range of every parameter, by name.

    Raises:
        ValueError: see :func:`find_fittable_mass`.
    """

    def __init__(self, mass: str = "SIE", *, lens_light: bool = False) -> None:
        self._mass = find_fittable_mass(mass)
        self.mass, self.lens_light = mass, lens_light
        light = Sersic.fit_ranges()
        self.ranges: dict[str, FitRange] = {
            **self._mass.fit_ranges(),
            **Shear.fit_ranges(),
            **{f"source_{name}": known for name, known in light.items()},
        }
        if lens_light:
            for name, known in light.items():
                start = _LENS_LIGHT_STARTS.get(name, known.start)
                self.ranges[f"lens_light_{name}"] = dataclasses.replace(known, start=start)
        self.names = tuple(self.ranges)
        self._mass_names = tuple(self._mass.fit_ranges())

    def named(self, params: Tensor) -> dict[str, Tensor]:
        """Split a tensor ``(..., P)`` by parameter name."""
        return dict(zip(self.names, params.unbind(-1), strict=True))

    def lens(self, params: Mapping[str, Tensor]) -> ThinLens:
        """Deflectors of these parameters."""
        return ThinLens([self._deflector(params), self._shear(params)])

    def source(self, params: Mapping[str, Tensor]) -> Sersic:
        """Source of these parameters."""
        return self._sersic(params, "source_")

    def light(self, params: Mapping[str, Tensor]) -> Sersic | None:
        """Light of the lens, if it is fitted."""
        return self._sersic(params, "lens_light_") if self.lens_light else None

    def image(self, params: Mapping[str, Tensor], pixels: Pixels) -> Tensor:
        """Noise-free image, flux per pixel."""
        return render_on(pixels, self.lens(params), self.source(params), self.light(params))

    def parts(self, params: Mapping[str, Tensor], pixels: Pixels) -> dict[str, Tensor]:
        """Blurred images of each part: ``source``, ``lens_light``, and a ``sky`` that is 0."""
        lens, light = self.lens(params), self.light(params)
        source = render_on(pixels, lens, self.source(params))
        none = torch.zeros_like(source)
        own = none if light is None else pixels.collect(pixels.brightness(light))
        return {"source": source, "lens_light": own, "sky": none}

    def image_and_jacobian(self, params: Mapping[str, Tensor], pixels: Pixels) -> Tensor:
        """Image, and its derivative with respect to every parameter: ``(B, 1 + P, ny, nx)``.

        The lens acts through the source position alone, so its derivatives are those of the
        deflection times the slope of the source, in closed form throughout.
        """
        x, y = pixels.x, pixels.y
        if (maps := self._compiled_jacobian(params, pixels)) is not None:
            return pixels.collect(maps)
        deflector, shear = self._deflector(params), self._shear(params)
        alpha, by_mass = deflector.deflection_jacobian(x, y)
        near = is_near(deflector, x, y)
        for name in _CENTER:
            d_x, d_y = by_mass[name]
            by_mass[name] = d_x.masked_fill(near, 0.0), d_y.masked_fill(near, 0.0)
        alpha_shear, by_shear = shear.deflection_jacobian(x, y)
        beta = x - alpha[0] - alpha_shear[0], y - alpha[1] - alpha_shear[1]
        brightness, by_source = self.source(params).surface_brightness_jacobian(*beta)
        # A source that moves by d and light that is deflected by d look the same.
        slope_x, slope_y = by_source["center_x"], by_source["center_y"]
        deflected = [by_mass[name] for name in self._mass_names]
        deflected += [by_shear[name] for name in _SHEAR]
        rows = [torch.addcmul(slope_x * d_x, slope_y, d_y) for d_x, d_y in deflected]
        rows += by_source.values()
        if (light := self.light(params)) is not None:
            own, by_light = pixels.brightness_jacobian(light)
            brightness = brightness + own
            rows += by_light.values()
        return pixels.collect(torch.stack([brightness, *rows], dim=1))

    def _compiled_jacobian(self, params: Mapping[str, Tensor], pixels: Pixels) -> Tensor | None:
        """Compute the same in one loop over the pixels, if it can: a SIE, without gradients."""
        x, y = pixels.x, pixels.y
        values = [params[name] for name in self.names]
        if self._mass is not SIE or any(v.ndim != 1 or v.dtype != x.dtype for v in values):
            return None
        if torch.is_grad_enabled() and any(v.requires_grad for v in values):
            return None
        given = launch.prepare(x, y, *(v[:, None, None] for v in values))
        if given is None or len(given.shape) != 3:
            return None
        columns = dict(zip(self.names, given.parameters, strict=True))

        def table(names: tuple[str, ...], prefix: str = "") -> launch.Array:
            return np.stack([columns[prefix + name] for name in names], axis=1)

        maps = torch.empty(given.images, 1 + len(values), given.pixels, dtype=x.dtype)
        parts = [table(_SIE), table(_SHEAR), table(_SERSIC, "source_")]
        given = dataclasses.replace(given, parameters=parts)
        given.run("scene.fill_jacobian", (*B_N, _NEAR), maps.numpy())
        maps = maps.view(-1, 1 + len(values), *given.shape[-2:])
        if (light := self.light(params)) is not None:
            own, by_light = pixels.brightness_jacobian(light)
            maps[:, 0] += own
            maps[:, -len(by_light) :] = torch.stack(list(by_light.values()), dim=1)
        return maps

    def _deflector(self, params: Mapping[str, Tensor]) -> MassProfile:
        return self._mass(**{name: params[name] for name in self._mass_names})

    def _shear(self, params: Mapping[str, Tensor]) -> Shear:
        return Shear(**{name: params[name] for name in _SHEAR})

    def _sersic(self, params: Mapping[str, Tensor], prefix: str) -> Sersic:
        return Sersic(**{name: params[prefix + name] for name in _SERSIC})


def is_near(lens: MassProfile, x: Tensor, y: Tensor) -> Tensor:
    """Mask of the rays that are too near to a lens to constrain its centre."""
    p = lens.align(x)
    dx, dy = x - p["center_x"], y - p["center_y"]
    return dx * dx + dy * dy < (_NEAR * p["theta_E"]).square()
