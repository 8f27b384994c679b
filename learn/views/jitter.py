"""Jitter: small changes of pointing, seeing and exposure that leave the lens alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from learn.config import JitterConfig


def jitter_images(image: Tensor, config: JitterConfig, noise_level: Tensor) -> Tensor:
    """Shift each image by a fraction of a pixel, blur it a little, and add noise.

    Zooms are among the changes only where asked for, since they change the Einstein radius.

    Args:
        image: flux (B, 1, H, W).
        config: amount of each.
        noise_level: flux that ``config.noise`` is in units of.

    Returns:
        Flux of the same shape.
    """
    count = len(image)
    if config.shift or config.blur:
        shift = (2 * torch.rand(count, 2) - 1) * config.shift
        blur = torch.rand(count) * config.blur
        image = shift_and_blur(image, shift.to(image.device), blur.to(image.device))
    if config.affine:
        draws = (2 * torch.rand(count, 3) - 1).to(image)
        rotation, zoom, shear = draws.unbind(1)
        image = change_affinely(
            image,
            torch.deg2rad(config.affine.rotation * rotation),
            1 + config.affine.zoom * zoom,
            torch.deg2rad(config.affine.shear * shear),
        )
    if config.noise:
        level = (torch.rand(count) * config.noise).to(image.device) * noise_level
        image = image + level.view(-1, 1, 1, 1) * torch.randn_like(image)
    return image


def shift_and_blur(image: Tensor, shift: Tensor, sigma: Tensor) -> Tensor:
    """Shift and blur by the theorems of Fourier.

    White noise stays white under the shift, which interpolation would smooth: no network can tell
    by the noise how far an image was shifted. What leaves on one side enters on the other, so that
    shifts should stay below the dark margin of an image.

    Args:
        image: (B, C, H, W).
        shift: (B, 2) along y and x, in pixels.
        sigma: (B,) standard deviation of the Gaussian, in pixels.

    Returns:
        (B, C, H, W).
    """
    ny, nx = image.shape[-2:]
    ky = torch.fft.fftfreq(ny, device=image.device).view(1, 1, ny, 1)
    kx = torch.fft.rfftfreq(nx, device=image.device)
    dy, dx = (part.view(-1, 1, 1, 1) for part in shift.unbind(1))
    phase = -2 * math.pi * (ky * dy + kx * dx)
    damping = torch.exp(-2 * (math.pi * sigma.view(-1, 1, 1, 1)) ** 2 * (ky**2 + kx**2))
    moved: Tensor = torch.fft.irfft2(
        torch.fft.rfft2(image) * torch.polar(damping, phase), s=(ny, nx)
    )
    return moved


def change_affinely(image: Tensor, angle: Tensor, zoom: Tensor, shear: Tensor) -> Tensor:
    """Shear, zoom and turn each image about its centre, in this order, by bicubic interpolation.

    Surface brightness is kept; what comes from outside of the image is dark.

    Args:
        image: (B, C, H, H).
        angle: (B,) rad, from x towards y, which grows with the row.
        zoom: (B,) by which it gets larger.
        shear: (B,) rad: x moves by y times its tangent.

    Returns:
        (B, C, H, H).
    """
    cos, sin, slope = angle.cos(), angle.sin(), shear.tan()
    # Where each pixel comes from: the inverse of what is done.
    along = torch.stack([cos + slope * sin, sin - slope * cos], 1)
    up = torch.stack([-sin, cos], 1)
    inverse = torch.stack([along, up], 1) / zoom.view(-1, 1, 1)
    theta = torch.cat([inverse, torch.zeros_like(inverse[:, :, :1])], 2)
    grid = F.affine_grid(theta, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
