"""Rendering: the image that a telescope takes of a lensed source."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from lensphys.arrays import take_positions
from lensphys.grid import measure_pixels
from lensphys.ground.numbers import check_count
from lensphys.kernels import launch
from lensphys.light.base import LightProfile
from lensphys.parameters import check_batches, check_positions
from lensphys.psf import PSF
from lensphys.remembering import remember


class RayTracer(Protocol):
    """A lens: anything that traces rays."""

    def ray_trace(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Source-plane position, arcsec, of the image-plane position ``x, y``."""


class Luminous(Protocol):
    """A light profile."""

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2."""


#: One light profile, or several whose light adds.
Light: TypeAlias = Luminous | Sequence[Luminous]


class Pixels:
    """Pixels of an image: the rays that are traced for them, their average and their blur.

    Args:
        x, y, psf, supersampling: see :func:`render`.
        integrate_cores: integrate the steep centres of unlensed light over the pixels, rather than
            take the brightness that rays meet.

    Attributes:
        x, y: positions of the rays, arcsec: the pixel centres, or those of their sub-pixels.
        shape: of the images, ``(ny, nx)``.
        pixel_scale: width of a pixel, arcsec.
        ray_spacing: distance of neighbouring rays, arcsec.
        centers: positions ``(x, y)`` of the pixel centres, arcsec.
        psf: of the images.

    Raises:
        ValueError: see :func:`render`.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        *,
        psf: PSF | None = None,
        supersampling: int = 1,
        integrate_cores: bool = True,
    ) -> None:
        x, y = take_positions(x, y)
        check_positions(x, y)
        dx, precision = measure_pixels(x, y)
        check_count("supersampling", supersampling)
        on_grid = psf is not None and math.isclose(psf.pixel_scale, dx, rel_tol=precision)
        if psf is not None and not on_grid:
            fine = dx / supersampling
            if not math.isclose(psf.pixel_scale, fine, rel_tol=precision):
                finer = "" if supersampling == 1 else f" and, supersampled, of {fine:g} arcsec"
                raise ValueError(
                    f"psf.pixel_scale is {psf.pixel_scale:g} arcsec but the grid has pixels of "
                    f"{dx:g} arcsec{finer}; sample the PSF for the pixels of the grid"
                )
        _keep_freed_memory()
        self.shape = (x.shape[-2], x.shape[-1])
        self.pixel_scale = dx
        self.centers = x, y
        self.psf = psf
        self.x, self.y = (x, y) if supersampling == 1 else sub_pixels(x, y, dx, supersampling)
        self._before = None if on_grid else psf
        self._after = psf if on_grid else None
        self._factor = supersampling
        self.ray_spacing = dx / supersampling
        self._integrate_cores = integrate_cores

    def brightness(self, light: Luminous) -> Tensor:
        """Unlensed brightness that stands for each ray, flux per arcsec^2."""
        mean = getattr(light, "mean_brightness", None) if self._integrates(light) else None
        if mean is None:
            return light.surface_brightness(self.x, self.y)
        found: Tensor = mean(self.x, self.y, self.ray_spacing)
        return found

    def brightness_jacobian(self, light: LightProfile) -> tuple[Tensor, dict[str, Tensor]]:
        """:meth:`brightness`, and its derivative with respect to each parameter by name."""
        if self._integrates(light):
            return light.mean_brightness_jacobian(self.x, self.y, self.ray_spacing)
        return light.surface_brightness_jacobian(self.x, self.y)

    def take(self, index: Tensor) -> Pixels:
        """Pixels of some images of a batch, by their whole numbers ``(b,)``.

        Themselves if grid and PSF are the same for all images.
        """
        taken = copy.copy(self)
        taken.x, taken.y = _take(self.x, index), _take(self.y, index)
        x, y = (_take(v, index) for v in self.centers)
        taken.centers = self.centers if x is self.centers[0] and y is self.centers[1] else (x, y)
        taken.psf = None if self.psf is None else self.psf.take(index)
        taken._before = None if self._before is None else self._before.take(index)
        taken._after = None if self._after is None else self._after.take(index)
        changed = any(getattr(taken, name) is not value for name, value in vars(self).items())
        return taken if changed else self

    @property
    def reach(self) -> int | None:
        """Pixels over which the light of a pixel spreads to either side; None if unknown."""
        if self.psf is None:
            return 0
        reach = getattr(self.psf, "reach", None)
        if reach is None or self._before is None:
            return reach
        return int(-(-reach // self._factor))

    def crop(self, rows: slice, columns: slice) -> Pixels:
        """Pixels of a rectangle of the images, around which there is no light.

        Light that ends further than :attr:`reach` inside of the rectangle, or where the images
        end too, is collected as by the pixels of the images.
        """
        part = copy.copy(self)
        fine_rows, fine_columns = (
            slice(self._factor * at.start, self._factor * at.stop) for at in (rows, columns)
        )
        part.x, part.y = (v[..., fine_rows, fine_columns] for v in (self.x, self.y))
        part.centers = self.centers[0][..., rows, columns], self.centers[1][..., rows, columns]
        part.shape = rows.stop - rows.start, columns.stop - columns.start
        return part

    def _integrates(self, light: Luminous) -> bool:
        return self._integrate_cores and getattr(light, "steep", False)

    def collect(self, brightness: Tensor) -> Tensor:
        """Average and blur the brightness that rays meet: flux per pixel ``(..., ny, nx)``."""
        return self.blur(launch.scale(brightness, self.pixel_scale**2))

    def blur(self, image: Tensor) -> Tensor:
        """Average and blur what the rays meet, in its own unit: ``(..., ny, nx)``."""
        if self._before is not None:
            image = self._before.convolve(image)
        if self._factor > 1:
            image = _pixel_means(image, self._factor)
        return image if self._after is None else self._after.convolve(image)

    def spread(self, maps: Tensor) -> Tensor:
        """Transpose of :meth:`blur`: from maps ``(..., ny, nx)`` of pixels to maps of rays."""
        ny, nx = self.x.shape[-2:]
        with torch.enable_grad():
            rays = maps.new_zeros(*maps.shape[:-2], ny, nx, requires_grad=True)
            image = self.blur(rays)
            linked = maps.requires_grad
            (spread,) = torch.autograd.grad(image, rays, maps, create_graph=linked)
        return spread


@remember()
def _keep_freed_memory() -> None:
    """Make the C library keep the memory of maps that were freed, for the next ones.

    glibc gives freed maps back to the system and asks for them anew, page by page, which takes as
    long as the arithmetic on them; it stops doing so once a block of this size has been freed. No
    page of the block is touched, and at most 62 MiB are kept. Elsewhere this does nothing.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def render(
    lens: RayTracer,
    source: Light,
    x: Tensor,
    y: Tensor,
    *,
    psf: PSF | None = None,
    supersampling: int = 1,
    lens_light: Light | None = None,
    integrate_cores: bool = True,
) -> Tensor:
    """Noise-free image of a lensed source, differentiable in all lens and source parameters.

    Args:
        lens: the deflectors; anything with a method ``ray_trace``.
        source: surface brightness in the source plane; one light profile or several.
        x, y: pixel centres of a regular grid, arcsec, of shape ``(ny, nx)``; see
            :func:`lensphys.pixel_grid`.
        psf: point-spread function; none by default. Its ``pixel_scale`` decides if it acts on the
            pixels of the grid, after the average over each pixel, or on the finer pixels of
            ``supersampling``, before the average.
        supersampling: ``s`` traces ``s x s`` rays per pixel and averages them; 1 takes the surface
            brightness at the pixel centre for that of the pixel.
        lens_light: surface brightness in the image plane, which is not lensed; one light profile
            or several.
        integrate_cores: integrate the steep centre of a :class:`lensphys.Sersic`,
            :class:`lensphys.Spiral` or :class:`lensphys.MultiGaussian` in ``lens_light`` over the
            pixels. False takes the rays, as lenstronomy does: at an index of 4 and one ray the
            brightest pixel is up to 4.6 times too bright.

    Returns:
        Flux per pixel (mean surface brightness times pixel area), of shape ``(B, ny, nx)``, or
        ``(ny, nx)`` where nothing is batched.

    Raises:
        ValueError: for a grid that is not a regular one of square pixels, a PSF that is sampled
            for neither the pixels of the grid nor the finer ones, a supersampling below 1, an
            empty list of light profiles, what is no lens or no light profile, and batches that do
            not go together.
    """
    pixels = Pixels(x, y, psf=psf, supersampling=supersampling, integrate_cores=integrate_cores)
    return render_on(pixels, lens, source, lens_light)


def render_on(
    pixels: Pixels, lens: RayTracer, source: Light, lens_light: Light | None = None
) -> Tensor:
    """:func:`render` on pixels that are made already, to be called again and again."""
    if not hasattr(lens, "ray_trace"):
        kind = type(lens).__name__
        raise ValueError(f"lens must be a ThinLens or another that traces rays, got {kind}")
    beta = lens.ray_trace(pixels.x, pixels.y)
    image = _sum("source", source, lambda light: light.surface_brightness(*beta))
    if lens_light is not None:
        shine = _sum("lens_light", lens_light, pixels.brightness)
        batches = [("lens_light", tuple(shine.shape[:-2])), ("rays", tuple(image.shape[:-2]))]
        check_batches(batches)
        image = image + shine
    return pixels.collect(image)


def _sum(name: str, light: Light, evaluate: Callable[[Luminous], Tensor]) -> Tensor:
    """Sum the surface brightness of one or more light profiles."""
    profiles = light if isinstance(light, Sequence) else (light,)
    if not profiles:
        raise ValueError(f"{name} must hold at least one light profile")
    for profile in profiles:
        if not hasattr(profile, "surface_brightness"):
            raise ValueError(f"{name} must be a light profile, got {type(profile).__name__}")
    maps = [evaluate(profile) for profile in profiles]
    return sum(maps[1:], start=maps[0])


def _take(grid: Tensor, index: Tensor) -> Tensor:
    """Coordinates ``(b, ny, nx)`` of some images; as they are if those of all are the same."""
    return grid[index.to(grid.device)] if grid.ndim > 2 and len(grid) > 1 else grid


def sub_pixels(x: Tensor, y: Tensor, step: float, factor: int) -> tuple[Tensor, Tensor]:
    """Centres of ``factor x factor`` sub-pixels of every pixel, ``(..., ny f, nx f)``."""
    offset = (torch.arange(factor, dtype=torch.float64) - (factor - 1) / 2) * (step / factor)
    offset = offset.to(x.device, x.dtype)
    # Row, sub-row, column, sub-column.
    x, y = (v[..., :, None, :, None] for v in (x, y))
    x, y = torch.broadcast_tensors(x + offset, y + offset[:, None, None])
    return x.flatten(-4, -3).flatten(-2), y.flatten(-4, -3).flatten(-2)


def _pixel_means(image: Tensor, factor: int) -> Tensor:
    """Mean over ``factor x factor`` sub-pixels, ``(..., ny, nx)``."""
    *batch, ny, nx = image.shape
    return image.reshape(*batch, ny // factor, factor, nx // factor, factor).mean((-3, -1))
