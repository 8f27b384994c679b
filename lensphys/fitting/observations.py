"""Images, noise and PSF of a caller, checked: what a fit takes as data."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.arrays import in_precision, take_map, take_numbers
from lensphys.parameters import Parameter
from lensphys.psf import PSF, PixelPSF

#: Images of a caller: a tensor, an array, or a list of images of one shape.
Images: TypeAlias = Tensor | NDArray[Any] | Sequence[Tensor | NDArray[Any]]

#: Noise this many times that of the good pixels of an image marks a pixel without data.
_ABSURD = 1e4
#: Noise above which, and below one over which, squares of fluxes over it leave a precision.
_RANGES = {torch.float32: 1e17, torch.float64: 1e28}
#: Share of the pixels of an image, those of least noise, that are good in any case.
_GOOD = 0.05


def check_images(images: Images, sigma: Parameter) -> tuple[Tensor, Tensor]:
    """Return images ``(B, ny, nx)``, and ``1 / sigma`` of every pixel, 0 where it is masked.

    A pixel is masked where ``sigma`` is infinite, or above 1e4 times the level that a twentieth of
    the finite ones of the image are below: files mark pixels without data by a noise such as 1e8.

    Args:
        images: ``(B, ny, nx)`` or ``(ny, nx)``, or a list of images of one shape.
        sigma: a number, ``(B,)``, or maps like ``images``.

    Raises:
        ValueError: for wrong shapes, noise that is not positive or out of the range of the
            precision, and values that are not finite where the noise is.
    """
    images = in_precision("images", _stack("images", images))
    if torch._C._are_functorch_transforms_active():
        raise ValueError(
            "a fit runs under no transform such as vmap or torch.func.grad: give all images at "
            "once, as (B, ny, nx), and take gradients by backward()"
        )
    if images.ndim not in (2, 3) or not images.numel():
        raise ValueError(f"images must be (B, ny, nx) or (ny, nx), got {tuple(images.shape)}")
    images = images.reshape(-1, *images.shape[-2:])
    number, *size = images.shape
    given = take_numbers("sigma", _stack("sigma", sigma))
    sigma = torch.as_tensor(given, dtype=images.dtype, device=images.device)
    if tuple(sigma.shape) not in {(), (1,), (number,), (*size,), (1, *size), (number, *size)}:
        raise ValueError(
            f"sigma must be a number, ({number},) or a map of shape {tuple(images.shape)}, "
            f"got {tuple(sigma.shape)}"
        )
    if not bool((sigma > 0).all()):
        raise ValueError("sigma must be positive (infinite where a pixel is masked)")
    if sigma.ndim > 1 and bool((sigma.amax((-2, -1)) > _ABSURD * sigma.amin((-2, -1))).any()):
        sigma = torch.where(_is_absurd(sigma), math.inf, sigma)
    sigma = (sigma[:, None, None] if sigma.ndim == 1 else sigma).expand(images.shape)
    broken = int((~torch.isfinite(images) & torch.isfinite(sigma)).sum())
    if broken:
        raise ValueError(
            f"images hold {broken} pixels that are not finite; mask them by an infinite sigma"
        )
    masked = torch.isinf(sigma)
    _check_range(sigma.detach()[~masked])
    # A masked pixel may hold anything: 0 times it must be 0.
    return torch.where(masked, 0.0, images), torch.where(masked, 0.0, 1 / sigma)


def check_data(weight: Tensor, parameters: int) -> None:
    """Raise ValueError unless every image has more pixels that count than parameters.

    Args:
        weight: ``1 / sigma``, ``(B, ny, nx)``, 0 where a pixel is masked.
        parameters: number of parameters to be fitted.
    """
    fewest = int((weight > 0).sum((-2, -1)).min())
    if fewest <= parameters:
        raise ValueError(
            f"an image has {fewest} pixels that are not masked, too few for {parameters} parameters"
        )


def check_kernels(psf: PSF | None, images: Tensor) -> None:
    """Raise ValueError unless a PSF has one kernel for all images, or one for each."""
    kernel = psf.kernel if isinstance(psf, PixelPSF) else None
    if kernel is not None and kernel.ndim > 2 and len(kernel) not in (1, len(images)):
        raise ValueError(
            f"psf must hold one kernel, or one for each of {len(images)} images, got {len(kernel)}"
        )


def take_psf(psf: PSF | Tensor | NDArray[Any] | None, pixel_scale: float) -> PSF | None:
    """Return a PSF; a bare kernel ``(ky, kx)`` or ``(B, ky, kx)`` is normalised.

    Args:
        psf: of the images, or the kernel of one that is sampled for their pixels.
        pixel_scale: width of a pixel of the images, arcsec.

    Raises:
        ValueError: for a kernel that is none, see :class:`lensphys.PixelPSF`; and for a bare one
            whose peak is not in the middle.
    """
    given: Any = psf
    if given is None or hasattr(given, "convolve"):
        found: PSF | None = given
        return found
    kernel = take_map("psf", _stack("psf", given))
    _check_peaks(kernel)
    return PixelPSF(kernel, pixel_scale=pixel_scale, normalise=True)


def _check_peaks(kernel: Tensor) -> None:
    """Raise ValueError for kernels of odd sizes whose brightest pixel is beside the middle one."""
    if kernel.ndim not in (2, 3) or any(n % 2 == 0 for n in kernel.shape[-2:]):
        return
    kernels = kernel.detach().reshape(-1, *kernel.shape[-2:])
    ny, nx = kernels.shape[-2:]
    peak, place = kernels.flatten(1).max(1)
    off = kernels[:, ny // 2, nx // 2] < peak
    if bool(off.any()):
        row, column = divmod(int(place[off][0]), nx)
        raise ValueError(
            f"psf has its peak in row {row} and column {column} of {ny} x {nx} pixels, beside the "
            "middle: images would be shifted; give lp.centre_kernel(psf)[0], or "
            "lp.PixelPSF(psf, pixel_scale=...) if it is meant to be so"
        )


def _stack(name: str, maps: Any) -> Any:
    """Stack a list of maps of one shape; return anything else as it is."""
    if not isinstance(maps, list | tuple) or not any(hasattr(part, "shape") for part in maps):
        return maps
    parts = [in_precision(name, part) for part in maps]
    shapes = list(dict.fromkeys(tuple(part.shape) for part in parts))
    if len(shapes) > 1:
        raise ValueError(
            f"{name} must have one shape, got {shapes[0]} and {shapes[1]}; pad them to one, with "
            "an infinite sigma where there are no data"
        )
    dtype = functools.reduce(torch.promote_types, (part.dtype for part in parts))
    return torch.stack([part.to(dtype) for part in parts])


def _check_range(sigma: Tensor) -> None:
    """Raise ValueError for noise with which a precision cannot compute."""
    most = _RANGES[sigma.dtype]
    if not sigma.numel() or (float(sigma.min()) >= 1 / most and float(sigma.max()) <= most):
        return
    level = float(sigma.median())
    other = " or in double precision" if sigma.dtype == torch.float32 else ""
    raise ValueError(
        f"sigma of about {level:.2g} is out of range; give images and sigma in another unit{other}"
    )


def _is_absurd(sigma: Tensor) -> Tensor:
    """Mask of noise ``(..., ny, nx)`` that marks pixels without data."""
    with torch.no_grad():
        levels = sigma.flatten(-2)
        finite = levels.isfinite().sum(-1, keepdim=True)
        rank = (_GOOD * finite).long().clamp(0, levels.shape[-1] - 1)
        level = levels.nan_to_num(math.inf, math.inf).sort(dim=-1).values.gather(-1, rank)
        return sigma > _ABSURD * level[..., None]
