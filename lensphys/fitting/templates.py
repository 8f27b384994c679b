"""Starting points of fits: templates of lensed sources, matched with the images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from lensphys.fitting.bounds import check_names, per_image
from lensphys.fitting.scene import LensScene
from lensphys.light.sersic import Sersic
from lensphys.parameters import Parameter
from lensphys.products import product
from lensphys.rendering import Pixels
from lensphys.threads import map_chunks

#: Number of templates rendered, a power of two for the balance of the Sobol sequence; their mirror
#: images make four of each.
_TEMPLATES = 4096
#: Templates are compared on images of about this many pixels a side, where an arc is wide enough
#: to meet that of its neighbour.
_SIDE = 16
#: Templates are matched as if they were good to this fraction of the brightness: they lie so far
#: apart that the brightest pixels would otherwise decide alone.
_MODEL_ERROR = 0.15
#: Distinct templates are chosen among this many, and correlate by less than this.
_CANDIDATES, _ALIKE = 512, 0.8
#: Images matched at once, for the memory that their scores take.
_IMAGES = 128
#: Radii of the lens light tried beside a template, in half fields.
_LIGHT_RADII = (0.05, 0.12, 0.3)


class Templates:
    """A quasi-random set of lensed sources that covers what images of a galaxy-scale lens show.

    Args:
        scene: model that is fitted.
        pixels: of the images.
    """

    def __init__(self, scene: LensScene, pixels: Pixels) -> None:
        self._scene = scene
        self._factor = max(1, min(pixels.shape) // _SIDE)
        half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
        x = pixels.x
        params = _spread(scene, half_field).to(x.device, x.dtype)
        bare = LensScene(scene.mass)
        parts = params[:, : len(bare.names)].split(32)

        def draw(part: Tensor) -> Tensor:
            image = bare.image(bare.named(part), pixels)
            # Mirrored before they are binned, which may leave a row out at one end.
            return torch.stack([self._bin(image.flip(axes)) for axes in ((), -1, -2, (-1, -2))])

        maps = torch.cat(map_chunks(draw, ((part,) for part in parts)), dim=1)
        axes: tuple[Literal["x", "y"], ...] = ("x", "y")
        for axis in axes:
            params = torch.cat([params, params * _mirror(scene, axis).to(params)])
        self.params, self._maps = params, maps.flatten(0, 1).flatten(1)
        self._light = self._light_maps(pixels, half_field)

    def best(
        self,
        images: Tensor,
        weight: Tensor,
        count: int,
        *,
        distinct: bool = False,
        known: Mapping[str, Tensor] | None = None,
        light: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Find the templates that fit each image best, in order: parameters ``(B, count, P)``.

        Each template has the amplitude that suits the image, and so has the light of the lens, if
        the scene has any.

        Args:
            images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``.
            count: number of templates.
            distinct: choose templates no two of which look alike.
            known: values ``(B,)`` by name, with which the templates agree: Einstein radii to 20%,
                radii within a factor of 2, places of sources to a quarter of the Einstein radius,
                ellipticities to 0.2. Where too few do, those come next that differ least.
            light: parameters ``(B,)`` of lens light that is not in the images.
        """

        def find(first: int) -> Tensor:
            part = slice(first, first + _IMAGES)
            near, own = (
                None if values is None else {name: value[part] for name, value in values.items()}
                for values in (known, light)
            )
            return self._best(images[part], weight[part], count, distinct, near, own)

        chunks = ((first,) for first in range(0, len(images), _IMAGES))
        return torch.cat(map_chunks(find, chunks))

    def _best(
        self,
        images: Tensor,
        weight: Tensor,
        count: int,
        distinct: bool,
        known: Mapping[str, Tensor] | None,
        fitted_light: Mapping[str, Tensor] | None,
    ) -> Tensor:
        weight = weight * torch.rsqrt(1 + (_MODEL_ERROR * images * weight).square())
        inverse = self._bin(weight.square()).flatten(1)
        signal = self._bin(images * weight.square()).flatten(1)
        tiny = torch.finfo(inverse.dtype).tiny
        st = product(signal, self._maps.T)
        tt = product(inverse, self._maps.square().T).clamp_min(tiny)
        score, amplitude = st.clamp_min(0) ** 2 / tt, st / tt
        light = torch.zeros_like(score, dtype=torch.long)
        light_amplitude = torch.zeros_like(score)
        for k, own in enumerate(self._light if fitted_light is None else ()):
            # The two amplitudes of least squares, both positive.
            sl = product(signal, own)[:, None]
            ll = product(inverse, own.square())[:, None].clamp_min(tiny)
            tl = product(inverse, (self._maps * own).T)
            det = (tt * ll - tl * tl).clamp_min(1e-6 * tt * ll)
            a, b = (st * ll - sl * tl) / det, (sl * tt - st * tl) / det
            better = (a > 0) & (b > 0) & (a * st + b * sl > score)
            score = torch.where(better, a * st + b * sl, score)
            amplitude = torch.where(better, a, amplitude)
            light_amplitude = torch.where(better, b, light_amplitude)
            light = torch.where(better, k, light)
        count = min(count, score.shape[1])
        if known is not None:
            off = self._differ(known)
            score = torch.where(off > 1, -off, score)
        if distinct:
            chosen = self._choose_distinct(score, count)
        else:
            chosen = score.topk(count, dim=1).indices
        params = self._scene.named(self.params[chosen])
        params["source_amplitude"] = amplitude.gather(1, chosen)
        if fitted_light is not None:
            params |= {k: v[:, None].expand_as(chosen) for k, v in fitted_light.items()}
        elif self._scene.lens_light:
            params["lens_light_amplitude"] = light_amplitude.gather(1, chosen)
            params["lens_light_R_sersic"] = self._radii[light.gather(1, chosen)]
        if known is not None:
            for axis in ("x", "y"):
                # Templates are centred; their sources move with them.
                if (centre := known.get(f"center_{axis}")) is not None:
                    params[f"source_center_{axis}"] += centre[:, None]
            params |= {k: v[:, None].expand_as(chosen) for k, v in known.items()}
        return torch.stack(list(params.values()), -1)

    def _differ(self, known: Mapping[str, Tensor]) -> Tensor:
        """Largest difference of each template from known values, in units of what is allowed."""
        own = self._scene.named(self.params)
        like = next(iter(known.values()), self.params[:0, 0])
        off = torch.zeros(len(like), len(self.params), dtype=like.dtype, device=like.device)
        for name, values in known.items():
            value = values[:, None]
            if name in ("theta_E", "source_R_sersic"):
                allowed = math.log(1.2 if name == "theta_E" else 2.0)
                ratio = value.clamp_min(torch.finfo(value.dtype).tiny) / own[name]
                difference = ratio.log().abs() / allowed
            elif name in ("e1", "e2"):
                difference = (value - own[name]).abs() / 0.2
            elif name in ("source_center_x", "source_center_y"):
                centre = known.get(name.removeprefix("source_"), torch.zeros_like(values))[:, None]
                difference = (value - centre - own[name]).abs() / (0.25 * own["theta_E"])
            else:
                continue  # no template varies it
            off = torch.maximum(off, difference)
        return off

    def _choose_distinct(self, score: Tensor, count: int) -> Tensor:
        """Choose templates ``(B, count)`` of the highest scores that differ from one another."""
        rank, index = score.topk(min(_CANDIDATES, score.shape[1]), dim=1)
        maps = torch.nn.functional.normalize(self._maps[index], dim=2)
        penalty, chosen = rank[:, :1] + 1, []
        for _ in range(count):
            best = rank.argmax(1, keepdim=True)
            chosen.append(index.gather(1, best))
            chosen_maps = maps.gather(1, best[..., None].expand(-1, -1, maps.shape[2]))
            like = product(maps, chosen_maps.mT)[..., 0]
            rank = torch.where(like > _ALIKE, rank - penalty, rank)
        return torch.cat(chosen, 1)

    def _light_maps(self, pixels: Pixels, half_field: float) -> Tensor:
        """Lens light of unit amplitude and several radii, ``(L, pixels)``; none in a dark scene."""
        radii = torch.tensor(_LIGHT_RADII if self._scene.lens_light else (), dtype=pixels.x.dtype)
        self._radii = radii.to(pixels.x.device) * half_field
        if not len(radii):
            return torch.empty(0, self._maps.shape[1])
        n_sersic = self._scene.ranges["lens_light_n_sersic"].start
        light = Sersic(amplitude=1.0, R_sersic=self._radii, n_sersic=n_sersic)
        brightness = light.surface_brightness(pixels.x, pixels.y)
        return self._bin(pixels.collect(brightness)).flatten(1)

    def _bin(self, maps: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(maps, self._factor)


def _spread(scene: LensScene, half_field: float) -> Tensor:
    """Draw parameters ``(K, P)`` that fill the space of plausible lenses evenly.

    Parameters that templates do not vary are at the start of their fit range.
    """
    u = torch.quasirandom.SobolEngine(6).draw(_TEMPLATES, dtype=torch.float64).T
    theta_E = half_field * 0.12 * (0.8 / 0.12) ** u[0]
    radius, angle = 0.8 * theta_E * u[1].sqrt(), 2 * torch.pi * u[2]
    modulus, phase = 0.35 * u[3].sqrt(), 2 * torch.pi * u[4]
    drawn = {
        "theta_E": theta_E,
        "e1": modulus * torch.cos(phase),
        "e2": modulus * torch.sin(phase),
        "source_R_sersic": theta_E * 0.06 * (0.5 / 0.06) ** u[5],
        "source_center_x": radius * torch.cos(angle),
        "source_center_y": radius * torch.sin(angle),
    }
    starts = starting_values(scene, {}, half_field, torch.ones_like(theta_E))
    columns = zip(scene.names, starts.unbind(-1), strict=True)
    return torch.stack([drawn.get(name, start) for name, start in columns], -1)


def _mirror(scene: LensScene, axis: Literal["x", "y"]) -> Tensor:
    """Sign that each parameter changes to in the mirror image along an axis."""
    return torch.tensor([-1.0 if axis in known.odd else 1.0 for known in scene.ranges.values()])


def starting_values(
    scene: LensScene, start: Mapping[str, Parameter], half_field: float, peak: Tensor
) -> Tensor:
    """Complete the values that are given, numbers or ``(B,)``, with declared starts: ``(B, P)``.

    Raises:
        ValueError: for an unknown name, a value that is not finite, or of a wrong shape.
    """
    check_names("start", start, scene.names)
    columns = []
    for name, known in scene.ranges.items():
        default = known.start * known.per_unit(half_field, peak)
        columns.append(per_image(f"start of {name}", start.get(name, default), peak))
    return torch.stack(columns, -1)
