"""The parametric scene that is fitted: a lens, a source, and where asked the light of the lens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lensphys.kernels import launch
from lensphys.lens import ThinLens
from lensphys.light import Sersic
from lensphys.light.sersic import B_N
from lensphys.mass import EPL, SIE, MassProfile, Shear
from lensphys.rendering import Pixels, render_on

#: The main deflectors of a scene, one line each.
MASSES: dict[str, type[MassProfile]] = {"SIE": SIE, "EPL": EPL}

_SHEAR, _CENTER = ("gamma1", "gamma2"), ("center_x", "center_y")
#: Rays within so many Einstein radii of the lens say nothing of where it is: behind a singular
#: centre light jumps from one side of the source to the other, and its slope there would outweigh
#: all other pixels of an image.
_NEAR = 1e-4


class LensScene:
    """Main deflector + external shear + Sersic source (+ Sersic light of the lens).

    Parameters travel as one tensor ``(B, P)`` in the order of :attr:`names`: those of the mass
    profile and of the shear under their own names, those of the source with the prefix
    ``source_``, those of the lens light with ``lens_light_``.

    Args:
        mass: a key of :data:`MASSES`.
        lens_light: whether the lens shines too.

    Raises:
        ValueError: for an unknown mass profile.
    """

    def __init__(self, mass: str = "SIE", *, lens_light: bool = False) -> None:
        if mass not in MASSES:
            raise ValueError(f"mass must be one of {', '.join(MASSES)}, got {mass!r}")
        self.mass, self.lens_light = mass, lens_light
        self._mass = MASSES[mass]
        light = Sersic.parameter_names()
        self.names = (
            *self._mass.parameter_names(),
            *_SHEAR,
            *(f"source_{name}" for name in light),
            *(f"lens_light_{name}" for name in light if lens_light),
        )

    def named(self, params: Tensor) -> dict[str, Tensor]:
        """A tensor ``(..., P)`` by parameter name."""
        return dict(zip(self.names, params.unbind(-1), strict=True))

    def lens(self, params: Mapping[str, Tensor]) -> ThinLens:
        """The deflectors."""
        return ThinLens([self._main(params), self._shear(params)])

    def source(self, params: Mapping[str, Tensor]) -> Sersic:
        """The source."""
        return self._sersic(params, "source_")

    def light(self, params: Mapping[str, Tensor]) -> Sersic | None:
        """The light of the lens."""
        return self._sersic(params, "lens_light_") if self.lens_light else None

    def image(self, params: Mapping[str, Tensor], pixels: Pixels) -> Tensor:
        """The noise-free image, flux per pixel."""
        return render_on(pixels, self.lens(params), self.source(params), self.light(params))

    def image_and_jacobian(self, params: Mapping[str, Tensor], pixels: Pixels) -> Tensor:
        """The image, and its derivative with respect to every parameter: ``(B, 1 + P, ny, nx)``.

        The lens acts through the source position alone, so its derivatives are those of the
        deflection times the slope of the source, in closed form throughout.
        """
        x, y = pixels.x, pixels.y
        if (maps := self._fused(params, x, y)) is not None:
            return pixels.collect(maps)
        profile = self._main(params)
        main, by_main = profile.deflection_jacobian(x, y)
        near = _near(profile, x, y)
        for name in _CENTER:
            d_x, d_y = by_main[name]
            by_main[name] = d_x.masked_fill(near, 0.0), d_y.masked_fill(near, 0.0)
        shear, by_shear = self._shear(params).deflection_jacobian(x, y)
        beta = x - main[0] - shear[0], y - main[1] - shear[1]
        brightness, by_source = self.source(params).surface_brightness_jacobian(*beta)
        # A source that moves by d and light that is deflected by d look the same.
        slope_x, slope_y = by_source["center_x"], by_source["center_y"]
        deflected = [*by_main.values(), *(by_shear[name] for name in _SHEAR)]
        rows = [torch.addcmul(slope_x * d_x, slope_y, d_y) for d_x, d_y in deflected]
        rows += by_source.values()
        if (light := self.light(params)) is not None:
            own, by_light = light.surface_brightness_jacobian(x, y)
            brightness = brightness + own
            rows += by_light.values()
        return pixels.collect(torch.stack([brightness, *rows], dim=1))

    def _fused(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor | None:
        """The same in one pass over the pixels, where that is offered: without gradients."""
        values = [params[name] for name in self.names]
        if self._mass is not SIE or any(v.ndim != 1 or v.dtype != x.dtype for v in values):
            return None
        if torch.is_grad_enabled() and any(v.requires_grad for v in values):
            return None
        given = launch.prepare(x, y, *(v[:, None, None] for v in values))
        if given is None or len(given.shape) != 3:
            return None
        table = np.stack(given.parameters, 1)
        lens, shear, *lights = np.split(table, [5, 7, 14][: 3 if self.lens_light else 2], axis=1)
        parts = [np.ascontiguousarray(part) for part in (lens, shear, *lights)]
        maps = torch.empty(given.images, 1 + len(values), given.pixels, dtype=x.dtype)
        given = dataclasses.replace(given, parameters=parts[:3])
        given.run("scene.fill_jacobian", (*B_N, _NEAR), maps.numpy())
        if self.lens_light:
            given = dataclasses.replace(given, parameters=parts[3:])
            given.run("sersic.add_jacobian", B_N, maps.numpy())
        return maps.view(-1, 1 + len(values), *given.shape[-2:])

    def _main(self, params: Mapping[str, Tensor]) -> MassProfile:
        return self._mass(**{name: params[name] for name in self._mass.parameter_names()})

    def _shear(self, params: Mapping[str, Tensor]) -> Shear:
        return Shear(**{name: params[name] for name in _SHEAR})

    def _sersic(self, params: Mapping[str, Tensor], prefix: str) -> Sersic:
        return Sersic(**{name: params[prefix + name] for name in Sersic.parameter_names()})


def _near(lens: MassProfile, x: Tensor, y: Tensor) -> Tensor:
    """Whether rays are too near to a lens to say where it is."""
    p = lens.aligned(x)
    dx, dy = x - p["center_x"], y - p["center_y"]
    return dx * dx + dy * dy < (_NEAR * p["theta_E"]).square()
