"""The fast backend: batched through :mod:`lensphys`, on a CPU or a CUDA device."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from lensphys.instruments import Instrument
from lensphys.rendering import Pixels, render_on
from simulate.scenes import Deflectors, Scene

if TYPE_CHECKING:
    from simulate.sources.galaxies import GalaxyImages

#: Rays that are traced together: on a CPU more of them leave its caches, and take twice as long;
#: on a GPU they fill its memory.
_RAYS = {"cpu": 2**20, "cuda": 2**26}


class TorchRenderer:
    """Renders batches of scenes through one instrument.

    Args:
        camera: pixels and PSF.
        supersampling: rays along a side of a pixel.
        galaxies: the sources, where they are not smooth.
        device: ``cpu`` or ``cuda``.
        dtype: of the computation; images agree with lenstronomy to about 1e-6 of the peak in
            float32 and 1e-9 in float64.
    """

    def __init__(
        self,
        camera: Instrument,
        *,
        supersampling: int = 1,
        galaxies: GalaxyImages | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._galaxies = galaxies
        self._like = torch.empty(0, dtype=dtype, device=device)
        self._pixels = pixels_of(camera, supersampling, self._like)

    @torch.inference_mode()
    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""
        most = max(1, _RAYS[self._like.device.type] // self._pixels.x.numel())
        if len(scene) <= most:
            return self._render(scene)
        parts = torch.arange(len(scene)).split(most)
        return np.concatenate([self._render(scene.select(part)) for part in parts])

    def _render(self, scene: Scene) -> NDArray[np.floating]:
        image = self._lensed(scene)
        if scene.foreground is not None:
            light = self._pixels.brightness(scene.foreground)
            image = image + self._pixels.collect(light)
        return image.cpu().numpy()

    def _lensed(self, scene: Scene) -> Tensor:
        """Images of the lensed sources alone; dark where there is none."""
        if scene.lensed is None:
            image = render_on(self._pixels, self._lens(scene), self._source(scene))
            return image.expand(len(scene), *image.shape[-2:])
        images = self._like.new_zeros(len(scene), *self._pixels.shape)
        if len(scene.lensed):
            lenses = dataclasses.replace(scene.select(scene.lensed), lensed=None)
            images[scene.lensed.to(images.device)] = self._lensed(lenses)
        return images

    def _lens(self, scene: Scene) -> _SceneLens:
        profile = getattr(lp, scene.main)
        columns = scene.params | {"theta_E": scene.params["theta_E_main"]}
        main = profile(**self._params(columns, *profile.parameter_names()))
        shear = lp.Shear(**self._params(scene.params, "gamma1", "gamma2"))
        parts = [
            (part.rows.to(self._like.device), self._population(part)) for part in scene.substructure
        ]
        return _SceneLens(lp.ThinLens([main, shear]), parts, len(scene), scene.alpha_scale)

    def _population(self, part: Deflectors) -> lp.Population:
        profile = getattr(lp, part.profile)
        return lp.Population(profile(**{k: v.to(self._like) for k, v in part.params.items()}))

    def _source(self, scene: Scene) -> lp.LightProfile:
        if self._galaxies is not None:
            return self._galaxy(self._galaxies, scene)
        names = ("amplitude", "R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
        params = self._params(scene.params, *(f"source_{name}" for name in names))
        return lp.Sersic(**dict(zip(names, params.values(), strict=True)))

    def _galaxy(self, galaxies: GalaxyImages, scene: Scene) -> lp.PixelatedSource:
        p = scene.params
        return galaxies.source(
            p["source_stamp"].long(),
            flux=p["source_flux"],
            R_half=p["source_R_sersic"],
            center_x=p["source_center_x"],
            center_y=p["source_center_y"],
            phi_G=p["source_angle"],
            device=self._like.device,
            dtype=self._like.dtype,
        )

    def _params(self, columns: dict[str, Tensor], *names: str) -> dict[str, float | Tensor]:
        """Parameters in the working precision; one number where all images share it.

        The published models have one macro lens, whose deflection is then computed once a batch.
        """
        params: dict[str, float | Tensor] = {}
        for name in names:
            values = columns[name]
            shared = bool((values == values[0]).all())
            params[name] = values[0].item() if shared else values.to(self._like)
        return params


def pixels_of(camera: Instrument, supersampling: int, like: Tensor) -> Pixels:
    """Pixels and PSF of an instrument, in the precision and on the device of a tensor."""
    x, y = lp.pixel_grid(camera.n_pix, camera.pixel_scale, dtype=like.dtype, device=like.device)
    return Pixels(x, y, psf=camera.psf(), supersampling=supersampling)


@dataclasses.dataclass(frozen=True)
class _SceneLens:
    """A main lens in every image of a batch, and substructure of several kinds, each in some."""

    main: lp.ThinLens
    parts: list[tuple[Tensor, lp.Population]]
    images: int
    alpha_scale: float

    def ray_trace(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        alpha_x, alpha_y = self.main.deflection(x, y)
        if self.parts:
            alpha_x, alpha_y = (
                alpha.expand(self.images, *alpha.shape[-2:]).clone() for alpha in (alpha_x, alpha_y)
            )
        for rows, population in self.parts:
            for alpha, part in zip((alpha_x, alpha_y), population.deflection(x, y), strict=True):
                alpha.index_add_(0, rows, part)
        return x - self.alpha_scale * alpha_x, y - self.alpha_scale * alpha_y
