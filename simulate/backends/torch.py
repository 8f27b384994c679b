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
from lensphys.rendering import Luminous, Pixels, render_on
from simulate.backends import Rendered
from simulate.backends.blur import blur, kernels
from simulate.backends.rays import (
    BLOCK,
    NEAR_A_LINE,
    Rays,
    choose_levels,
    place_rays,
    refine_near_lines,
)
from simulate.backends.scene_lens import SceneLens, parameters_of
from simulate.scenes import Scene
from simulate.sources.structured import PaintedSource, paint

if TYPE_CHECKING:
    from simulate.sources.galaxies import GalaxyImages

#: Rays that are traced together: on a CPU more of them leave its caches, and take twice as long;
#: on a GPU they fill its memory.
_RAYS = {"cpu": 2**20, "cuda": 2**26}
#: Images whose rays, of different numbers, are traced together, for the same reason.
_TOGETHER = {"cpu": 16, "cuda": 512}


class TorchRenderer:
    """Renders batches of scenes through one instrument.

    Args:
        camera: pixels and PSF.
        supersampling: rays along a side of a pixel.
        tolerance: error of a pixel, in units of its noise, from which on it takes more rays, at
            most ``supersampling`` along a side; None: all pixels take so many.
        widest_psf: greatest width of the PSF of an image, over that of the instrument.
        galaxies: the sources, where they are not drawn.
        device: ``cpu`` or ``cuda``.
        dtype: of the computation; images agree with lenstronomy to about 1e-6 of the peak in
            float32 and 1e-9 in float64.
    """

    def __init__(
        self,
        camera: Instrument,
        *,
        supersampling: int = 1,
        tolerance: float | None = None,
        widest_psf: float = 1.0,
        galaxies: GalaxyImages | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._camera, self._galaxies, self._factor = camera, galaxies, supersampling
        self._widest_psf = widest_psf
        self._like = torch.empty(0, dtype=dtype, device=device)
        self._tolerance = tolerance
        self._pixels = pixels_of(camera, 1 if tolerance else supersampling, self._like)
        self._block = BLOCK if camera.n_pix % BLOCK == 0 else 1
        shape, width = camera.n_pix // self._block, camera.pixel_scale * self._block
        self._blocks = lp.pixel_grid(shape, width, dtype=dtype, device=device)

    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""
        return self.render_parts(scene).total

    @torch.inference_mode()
    def render_parts(self, scene: Scene, *, twins: bool = False) -> Rendered:
        """Noise-free images (B, ny, nx): sources, light in the image plane, and twins if wanted."""
        most = max(1, _RAYS[self._like.device.type] // self._pixels.x.numel())
        parts = [scene]
        if len(scene) > most:
            parts = [scene.select(part) for part in torch.arange(len(scene)).split(most)]
        found = [self._lensed(part, twins) for part in parts]
        source, twin = (torch.cat(images).cpu().numpy() for images in zip(*found, strict=True))
        light = None
        if scene.foreground is not None:
            light = np.concatenate([self.render_light(part) for part in parts])
        return Rendered(source, light, twin if twins else None)

    @torch.inference_mode()
    def render_light(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx) of the light in the image plane."""
        assert scene.foreground is not None
        light = self._pixels.brightness(scene.foreground)
        found: NDArray[np.floating] = self.collect(scene, light).cpu().numpy()
        return found

    def choose_levels(self, scene: Scene, source: Luminous) -> Tensor:
        """Rays along a side of the pixels of each block; those of an image are of its twin too."""
        assert self._tolerance is not None
        # Multipoles and subhaloes move light by less than a pixel; neighbours by several. Across a
        # line the deflection jumps, which no smooth lens foresees.
        smooth = scene.without_substructure()
        beta = SceneLens.of(smooth, self._like, multipoles=False).ray_trace(*self._blocks)
        flux = source.surface_brightness(*beta) * self._camera.pixel_scale**2
        exposure = scene.params["exposure_time"].to(flux)
        sigma = self._camera.background_sigma
        levels = choose_levels(flux, sigma, exposure, self._tolerance, self._factor)
        reach = NEAR_A_LINE * self._camera.pixel_scale
        for part in (part for part in scene.substructure if part.profile == "UniformLine"):
            rows = part.rows.to(levels.device)
            lines = {name: values.to(flux) for name, values in part.params.items()}
            near = refine_near_lines(levels[rows], *self._blocks, lines, reach, self._factor)
            levels = levels.index_copy(0, rows, near)
        return levels

    def place_rays(self, levels: Tensor) -> Rays:
        """Rays through the pixels of this camera."""
        return place_rays(levels, *self._blocks, self._camera.pixel_scale, self._block)

    def collect(self, scene: Scene, brightness: Tensor) -> Tensor:
        """The brightness of pixels as flux through the PSF of each image, (B, ny, nx)."""
        if "psf_width" not in scene.params:
            return self._pixels.collect(brightness)
        names = ("psf_width", "psf_e1", "psf_e2")
        columns = (scene.params[name] for name in names)
        kernel = kernels(self._camera, *columns, widest=self._widest_psf)
        return blur(brightness * self._camera.pixel_scale**2, kernel)

    def _lensed(self, scene: Scene, twins: bool) -> tuple[Tensor, Tensor]:
        """Images of the lensed sources alone, and without substructure; dark where there is none.

        The second are the first where they are not wanted.
        """
        if scene.lensed is not None:
            both = self._like.new_zeros(2, len(scene), *self._pixels.shape)
            if len(scene.lensed):
                lenses = dataclasses.replace(scene.select(scene.lensed), lensed=None)
                both[:, scene.lensed.to(both.device)] = torch.stack(self._lensed(lenses, twins))
            return both[0], both[1]
        if self._tolerance is not None:
            return self._refined(scene, twins)
        image = render_on(self._pixels, SceneLens.of(scene, self._like), self.source(scene))
        image = image.expand(len(scene), *image.shape[-2:])
        rows = scene.perturbed()
        if not (twins and len(rows)):
            return image, image
        smooth = scene.without_substructure().select(rows)
        twin = render_on(self._pixels, SceneLens.of(smooth, self._like), self.source(smooth))
        twin = twin.expand(len(rows), *twin.shape[-2:])
        return image, image.index_copy(0, rows.to(image.device), twin)

    def _refined(self, scene: Scene, twins: bool) -> tuple[Tensor, Tensor]:
        """:meth:`_lensed` with more rays where light is steep."""
        together = _TOGETHER[self._like.device.type]
        scene = dataclasses.replace(scene, foreground=None)
        pictures = None
        if scene.structures is not None:
            index = scene.params["source_n_sersic"]
            parts = torch.arange(len(scene)).split(together)
            painted = [paint(scene.structures.select(k), index[k], self._like) for k in parts]
            pictures = torch.cat(painted)
        levels = self.choose_levels(scene, self.source(scene, pictures))
        # Images with like numbers of rays together, so that little is padding.
        order = (levels.long() ** 2).sum((1, 2)).cpu().argsort(stable=True)
        both = self._like.new_zeros(2, len(scene), *self._pixels.shape)
        for rows in order.split(together):
            rows = rows.sort().values
            part = scene.select(rows)
            source = self.source(part, None if pictures is None else pictures[rows])
            rays = self.place_rays(levels[rows.to(levels.device)])
            beta, beta_of_twins = SceneLens.of(part, self._like).ray_trace_twins(rays.x, rays.y)
            both[:, rows.to(both.device)] = rays.collect(source.surface_brightness(*beta))
            if twins and len(part.perturbed()):
                twin = rays.collect(source.surface_brightness(*beta_of_twins))
                both[1, rows.to(both.device)] = twin
        image = self.collect(scene, both[0])
        return image, self.collect(scene, both[1]) if twins else image

    def source(self, scene: Scene, pictures: Tensor | None = None) -> Luminous:
        """The light profile of the sources of B images.

        Args:
            scene: the images.
            pictures: (B, S, S) of sources with structure, where they are painted already.
        """
        if self._galaxies is not None:
            return self._galaxy(self._galaxies, scene)
        if scene.structures is not None:
            return self._painted(scene, pictures)
        names = ("amplitude", "R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
        params = parameters_of(scene.params, self._like, *(f"source_{name}" for name in names))
        return lp.Sersic(**dict(zip(names, params.values(), strict=True)))

    def _painted(self, scene: Scene, pictures: Tensor | None) -> PaintedSource:
        assert scene.structures is not None
        names = ("flux", "R_sersic", "e1", "e2", "center_x", "center_y")
        columns = {name: scene.params[f"source_{name}"].to(self._like) for name in names}
        if pictures is None:
            pictures = paint(scene.structures, scene.params["source_n_sersic"], self._like)
        return PaintedSource(pictures, **columns)

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


def pixels_of(camera: Instrument, supersampling: int, like: Tensor) -> Pixels:
    """Pixels and PSF of an instrument, in the precision and on the device of a tensor."""
    x, y = lp.pixel_grid(camera.n_pix, camera.pixel_scale, dtype=like.dtype, device=like.device)
    return Pixels(x, y, psf=camera.psf(), supersampling=supersampling)
