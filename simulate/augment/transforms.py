"""Given changes of lens images, and of the labels with them: turns, shifts, noise, blur, light."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from lensphys.ground.errors import InputError
from lensphys.psf import FWHM_PER_SIGMA
from simulate.augment.lens_batch import LensBatch, Optics, Params
from simulate.dataset.padding import COLUMNS as PADDING

#: Angles of what looks the same after half a turn.
_OF_LINES = ("vortex_angle",)
#: Cosine and sine of m pi / 2 for the orders of multipoles, which turn by it as axes are swapped.
_MULTIPOLES = {3: (0, -1), 4: (1, 0)}


def turn(batch: LensBatch, symmetry: Tensor) -> LensBatch:
    """Images and labels under symmetries of the square, numbered as in :func:`turn_images`.

    Raises:
        InputError: for images that are not square, or a number outside 0 ... 7.
    """
    symmetry = symmetry.to(batch.image.device)
    if bool(((symmetry < 0) | (symmetry > 7)).any()):
        raise InputError("the symmetries of the square have the numbers 0 to 7")
    low = batch.image_lr
    return dataclasses.replace(
        batch,
        image=turn_images(batch.image, symmetry),
        image_lr=None if low is None else turn_images(low, symmetry),
        params=_turn_params(batch.params, symmetry),
    )


def shift(batch: LensBatch, dx: Tensor, dy: Tensor) -> LensBatch:
    """Images and labels moved by the whole pixels next to ``dx, dy`` (B,) arcsec.

    With ``image_lr`` these are whole pixels of both; see :class:`simulate.augment.Shift`.

    Raises:
        InputError: for shifts of half the field or more.
    """
    scale = batch.optics.pixel_scale
    field = 0.5 * scale * min(batch.image.shape[-2:])
    if not bool((torch.maximum(dx.abs(), dy.abs()) < field).all()):
        raise InputError(f"shifts must stay below half the field, {field:g} arcsec")
    low, optics_lr = batch.image_lr, batch.optics_lr
    # Steps of so many pixels of the one are of so many of the other.
    ratio = Fraction(1 if optics_lr is None else optics_lr.pixel_scale / scale)
    fine, coarse = ratio.limit_denominator(16).as_integer_ratio()
    steps_x, steps_y = (torch.round(v / (fine * scale)).long() for v in (dx, dy))
    if low is not None:
        low = shift_images(low, coarse * steps_x, coarse * steps_y)
    dx, dy = (fine * scale * steps.double() for steps in (steps_x, steps_y))
    steps_x, steps_y = fine * steps_x, fine * steps_y
    params = _shift_params(batch.params, dx, dy, batch.alpha_scale)
    return dataclasses.replace(
        batch,
        image=shift_images(batch.image, steps_x, steps_y),
        image_lr=low,
        params=_without_snr(_shift_padding(params, steps_x, steps_y)),
    )


def add_noise(
    batch: LensBatch, generator: torch.Generator, sigma: Tensor, sigma_lr: Tensor
) -> LensBatch:
    """Noise of standard deviation ``sigma`` (B,) on ``image``, ``sigma_lr`` on ``image_lr``."""

    def noisier(image: Tensor, sigma: Tensor) -> Tensor:
        normal = torch.randn(
            image.shape, generator=generator, dtype=image.dtype, device=generator.device
        )
        return torch.addcmul(image, _as_maps(sigma, image), normal.to(image.device))

    def optics(before: Optics, sigma: Tensor) -> Optics:
        return dataclasses.replace(
            before, background_sigma=torch.hypot(before.background_sigma, sigma)
        )

    low, optics_lr = batch.image_lr, batch.optics_lr
    return dataclasses.replace(
        batch,
        image=noisier(batch.image, sigma),
        optics=optics(batch.optics, sigma),
        image_lr=None if low is None else noisier(low, sigma_lr),
        optics_lr=None if optics_lr is None else optics(optics_lr, sigma_lr),
        params=_without_snr(batch.params),
    )


def broaden(batch: LensBatch, fwhm: Tensor) -> LensBatch:
    """Images whose PSF has the width ``fwhm`` (B,), arcsec; see :class:`simulate.augment.Broaden`.

    Raises:
        InputError: for a width below that of an image, or images of unknown width.
    """
    before = batch.optics.psf_fwhm
    if bool(before.isnan().any()):
        raise InputError(
            "the width of the PSF of the images is not known, or it is no Gaussian; give "
            "optics.psf_fwhm"
        )
    # A width that was given in single precision is not refused for its rounding.
    if bool((fwhm < (1 - 1e-6) * before).any()):
        raise InputError(
            f"the PSF can only become wider: fwhm {fwhm.min().item():g} arcsec is below the "
            f"{before.max().item():g} arcsec of the images"
        )
    missing = torch.sqrt((fwhm - before).clamp_min(0) * (fwhm + before))

    def optics(before: Optics) -> Optics:
        sigma = before.background_sigma
        unchanged = (sigma == 0) | (missing == 0)
        return dataclasses.replace(
            before,
            psf_fwhm=torch.hypot(before.psf_fwhm, missing),
            background_sigma=torch.where(unchanged, sigma, math.nan),
        )

    low, optics_lr = batch.image_lr, batch.optics_lr
    if low is not None and optics_lr is not None:
        low = blur_images(low, missing / FWHM_PER_SIGMA / optics_lr.pixel_scale)
    return dataclasses.replace(
        batch,
        image=blur_images(batch.image, missing / FWHM_PER_SIGMA / batch.optics.pixel_scale),
        optics=optics(batch.optics),
        image_lr=low,
        optics_lr=None if optics_lr is None else optics(optics_lr),
        params=_without_snr(_widen_psf(batch.params, before, missing)),
    )


def add_offset(batch: LensBatch, offset: Tensor) -> LensBatch:
    """``offset`` (B,) on every pixel of an image; see :class:`simulate.augment.Offset`."""
    low, optics_lr = batch.image_lr, batch.optics_lr
    if low is not None and optics_lr is not None:
        area = (optics_lr.pixel_scale / batch.optics.pixel_scale) ** 2
        low = low + _as_maps(area * offset, low)
    return dataclasses.replace(
        batch, image=batch.image + _as_maps(offset, batch.image), image_lr=low
    )


def turn_images(images: Tensor, symmetry: Tensor) -> Tensor:
    """Each image under one of the eight symmetries of the square.

    Args:
        images: (B, C, H, H).
        symmetry: (B,) whole numbers; number ``k`` is ``k % 4`` quarter turns of
            :func:`torch.rot90` (the last axis towards the one before), from 4 on followed by a
            flip of the last axis.

    Raises:
        InputError: for images that are not square.
    """
    if images.shape[-2] != images.shape[-1]:
        raise InputError(
            f"only square images can be turned, got {images.shape[-2]} x {images.shape[-1]} pixels"
        )
    n = images.shape[-1]
    pixels = torch.arange(n * n, device=images.device).view(n, n)
    turns = [torch.rot90(pixels, k) for k in range(4)]
    source = torch.stack([*turns, *(pixels.flip(-1) for pixels in turns)]).flatten(1)
    source = source[symmetry.to(images.device)][:, None].expand(*images.shape[:2], -1)
    return images.flatten(-2).gather(-1, source).view(images.shape)


def shift_images(images: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Each image (B, C, H, W) moved by ``dx, dy`` (B,) whole pixels.

    Nothing is interpolated: light that is barely resolved, as behind a PSF of one pixel, holds
    structure that no pixels between the given ones can be told from. What comes in at an edge
    mirrors what is inside.
    """

    def along(n: int, offset: Tensor) -> Tensor:
        pixels = torch.arange(n, device=images.device)
        # Once and back again: 0 1 2 ... n-1 n-1 ... 2 1 0.
        folded = (pixels - offset.to(images.device)[:, None]) % (2 * n)
        return torch.minimum(folded, 2 * n - 1 - folded)

    count, channels, ny, nx = images.shape
    rows = along(ny, dy)[:, None, :, None].expand(count, channels, ny, nx)
    columns = along(nx, dx)[:, None, None].expand(count, channels, ny, nx)
    return images.gather(-2, rows).gather(-1, columns)


def blur_images(images: Tensor, sigma: Tensor) -> Tensor:
    """Each image (B, C, H, W) under a round Gaussian of ``sigma`` (B,) pixels.

    A Gaussian on the frequencies of the cosine series, and so right for any width: the pixels of a
    Gaussian much narrower than one, such as between two similar PSFs, would not blur at all.
    """

    def along(n: int) -> Tensor:
        pixels = torch.arange(n, dtype=torch.float64, device=images.device)
        width = sigma.to(pixels)[:, None, None, None]
        basis = _cosines(n, pixels)
        return (basis * torch.exp(-0.5 * (width * (math.pi / n) * pixels) ** 2)) @ basis.mT

    return _separable(images, *(along(n) for n in images.shape[-2:]))


def _cosines(n: int, at: Tensor) -> Tensor:
    """The ``n`` orthonormal cosines (DCT-II) of ``n`` pixels, ``(..., m, n)`` at ``(..., m)``."""
    frequency = torch.arange(n, dtype=at.dtype, device=at.device)
    norm = torch.full_like(frequency, math.sqrt(2 / n))
    norm[0] = math.sqrt(1 / n)
    return norm * torch.cos((math.pi / n) * frequency * (at[..., None] + 0.5))


def _separable(images: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    along_y, along_x = along_y.to(images.dtype), along_x.to(images.dtype)
    # Under mixed precision the products would lose all but three digits.
    with torch.autocast(images.device.type, enabled=False):
        return along_y @ (images @ along_x.mT)


def _steps(symmetry: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A symmetry of the square as: swap x and y?, then flip x?, then flip y? (B,) each."""
    turns = symmetry % 4
    return turns % 2 == 1, (turns >= 2) ^ (symmetry >= 4), (turns == 1) | (turns == 2)


def _turn_params(params: Params, symmetry: Tensor) -> Params:
    swap, flip_x, flip_y = _steps(symmetry)
    new = dict(params)
    for x, y in _pairs(params, "center_x", "center_y"):
        along_x = torch.where(swap, params[y], params[x])
        along_y = torch.where(swap, params[x], params[y])
        new[x] = torch.where(flip_x, -along_x, along_x)
        new[y] = torch.where(flip_y, -along_y, along_y)
    # A flip changes the second of (cos 2 phi, sin 2 phi); swapping the axes, the first.
    for names in (("e1", "e2"), ("gamma1", "gamma2")):
        for first, second in _pairs(params, *names):
            new[first] = torch.where(swap, -params[first], params[first])
            new[second] = torch.where(flip_x ^ flip_y, -params[second], params[second])
    for m, (cos, sin) in _MULTIPOLES.items():
        for first, second in _pairs(params, f"a{m}_cos", f"a{m}_sin"):
            along, across = params[first], params[second]
            swapped = cos * along + sin * across, sin * along - cos * across
            along, across = (
                torch.where(swap, s, v) for s, v in zip(swapped, (along, across), strict=True)
            )
            odd = m % 2 == 1
            new[first] = torch.where(flip_x & odd, -along, along)
            # A flip of x changes the sign of one of the two, by whether m is odd.
            new[second] = torch.where((flip_x & (not odd)) ^ flip_y, -across, across)
    for name in _list_named(params, "angle"):
        angle = torch.where(swap, 0.5 * math.pi - params[name], params[name])
        angle = torch.where(flip_x, math.pi - angle, angle)
        # A line comes back to itself after half a turn.
        period = math.pi if name in _OF_LINES else 2 * math.pi
        new[name] = torch.where(flip_y, -angle, angle) % period
    if all(name in params for name in PADDING):
        left, right, bottom, top = (params[name] for name in PADDING)
        ends_x = [torch.where(swap, y, x) for x, y in ((left, bottom), (right, top))]
        ends_y = [torch.where(swap, x, y) for x, y in ((left, bottom), (right, top))]
        for names, flip, ends in ((PADDING[:2], flip_x, ends_x), (PADDING[2:], flip_y, ends_y)):
            for name, own, other in zip(names, ends, ends[::-1], strict=True):
                new[name] = torch.where(flip, other, own)
    mirrored = swap ^ flip_x ^ flip_y
    for name in _list_named(params, "pitch"):  # arms wind the other way in a mirror
        new[name] = torch.where(mirrored, math.pi - params[name], params[name])
    for name in _list_named(params, "mirrored"):
        new[name] = torch.where(mirrored, 1 - params[name], params[name])
    return new


def _shift_params(params: Params, dx: Tensor, dy: Tensor, alpha_scale: float) -> Params:
    gamma1, gamma2 = (
        alpha_scale * params.get(name, torch.zeros_like(dx)).nan_to_num()
        for name in ("gamma1", "gamma2")
    )
    # The shear deflects about the centre of the image. About a centre that moved by d it would
    # deflect less by Gamma d; that the shear stays where it is, the source makes up for.
    source = (dx - gamma1 * dx - gamma2 * dy, dy - gamma2 * dx + gamma1 * dy)
    new = dict(params)
    for names in _pairs(params, "center_x", "center_y"):
        moved = source if names[0].startswith("source") else (dx, dy)
        for name, by in zip(names, moved, strict=True):
            new[name] = params[name] + by
    return new


def _shift_padding(params: Params, steps_x: Tensor, steps_y: Tensor) -> Params:
    """Move the edges of padding by whole pixels; what is mirrored at its outer side is padding."""
    if any(name not in params for name in PADDING):
        return params
    new = dict(params)
    for name, step in zip(PADDING, (steps_x, -steps_x, steps_y, -steps_y), strict=True):
        new[name] = torch.where(params[name] > 0, (params[name] + step).clamp_min(0), params[name])
    return new


def _widen_psf(params: Params, fwhm: Tensor, missing: Tensor) -> Params:
    """Columns of the true PSF after a round Gaussian, over the width that optics have then.

    Covariances add; a PSF of width s and ellipticity e has half the trace s^2 (1 + e^2) / (1 - e^2)
    and the determinant s^4.
    """
    names = ("psf_width", "psf_e1", "psf_e2")
    if any(name not in params for name in names):
        return params
    width, e1, e2 = (params[name] for name in names)
    # In units of the width of the optics before.
    extra2, e_squared = (missing / fwhm) ** 2, e1**2 + e2**2
    factor = width**2 / (1 - e_squared)
    half_trace = factor * (1 + e_squared) + extra2
    width2 = torch.sqrt(half_trace**2 - 4 * factor**2 * e_squared)
    rounder = 2 * factor / (half_trace + width2)
    new = (torch.sqrt(width2 / (1 + extra2)), rounder * e1, rounder * e2)
    return params | dict(zip(names, new, strict=True))


def _without_snr(params: Params) -> Params:
    new = {name: torch.full_like(params[name], math.nan) for name in _list_named(params, "snr")}
    return params | new


def _list_named(params: Params, suffix: str) -> list[str]:
    """The columns of this name, and those of which it is the last word."""
    return [name for name in params if name == suffix or name.endswith(f"_{suffix}")]


def _pairs(params: Params, first: str, second: str) -> Iterator[tuple[str, str]]:
    """The columns that are components of one thing, such as ``e1`` and ``e2``."""
    prefixes = [name.removesuffix(first) for name in _list_named(params, first)]
    if set(prefixes) != {name.removesuffix(second) for name in _list_named(params, second)}:
        raise InputError(
            f"every column {first} needs its {second} and the other way round, got columns "
            f"{', '.join(_list_named(params, first) + _list_named(params, second))}"
        )
    for prefix in prefixes:
        yield prefix + first, prefix + second


def _as_maps(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images)[:, None, None, None]
