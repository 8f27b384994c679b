"""Pictures of galaxies from random numbers: bulge, spiral arms, clumps, as a survey shows them."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from lensphys.ground.files import replacing

#: Colour (red, green, blue) of old stars, of discs and of star formation.
_OLD, _DISC, _YOUNG = (1.35, 1.0, 0.65), (1.05, 1.0, 0.95), (0.6, 1.0, 1.4)


def make_procedural_galaxies(n: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Colour pictures of spiral galaxies, some with a neighbour, in noise: (n, size, size, 3).

    Brightness goes through the asinh stretch of Lupton et al. 2004 (PASP 116, 133), as in the
    pictures of surveys.
    """
    return np.stack([_picture(size, rng) for _ in range(n)])


def write_procedural_galaxies(path: Path, n: int, size: int, rng: np.random.Generator) -> None:
    """Write :func:`make_procedural_galaxies` as an HDF5 file in the layout of Galaxy10."""
    images = make_procedural_galaxies(n, size, rng)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("images", data=images, compression="gzip", chunks=(1, size, size, 3))
        file.create_dataset("ans", data=np.zeros(n, np.uint8))


def _picture(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    x, y = lp.pixel_grid(size, 1.0, dtype=torch.float64)
    light = torch.zeros(3, size, size, dtype=torch.float64)
    for profile, colour in _galaxy(0.085 * size * rng.uniform(0.7, 1.2), rng):
        brightness = profile.surface_brightness(x, y)
        light += torch.tensor(colour, dtype=torch.float64)[:, None, None] * brightness
    if rng.uniform() < 0.5:
        light += _neighbour(x, y, 0.41 * size, rng)
    seen = lp.GaussianPSF(fwhm=2.2, pixel_scale=1.0).convolve(light).numpy()
    seen = seen + rng.normal(0.0, 0.008, seen.shape)
    intensity = seen.mean(axis=0)
    stretched = np.arcsinh(12 * intensity) / np.arcsinh(12.0)
    colours = seen * (stretched / np.where(intensity == 0, 1.0, intensity))
    # Whole picture within range; the sky is dark, but not black.
    picture = (20 + 210 * np.moveaxis(colours, 0, -1)).clip(0, 255)
    return np.asarray(picture, np.uint8)


def _galaxy(
    radius: float, rng: np.random.Generator
) -> list[tuple[lp.LightProfile, tuple[float, float, float]]]:
    """Bulge, disc, arms and HII regions; half of the disc is within ``radius`` pixels."""
    q, angle = rng.uniform(0.55, 1.0), rng.uniform(0, math.pi)
    modulus = (1 - q) / (1 + q)
    e1, e2 = modulus * math.cos(2 * angle), modulus * math.sin(2 * angle)
    pitch = math.radians(rng.uniform(14, 30))
    pitch = pitch if rng.uniform() < 0.5 else math.pi - pitch
    m, core, phi_arm = int(rng.integers(2, 4)), 0.25 * radius, rng.uniform(0, 2 * math.pi)
    place = {"e1": e1, "e2": e2}
    bulge = lp.Sersic(
        amplitude=rng.uniform(0.1, 0.5), R_sersic=rng.uniform(0.12, 0.3) * radius, n_sersic=1.5
    )
    disc = lp.Spiral(
        m=m,
        amplitude=rng.uniform(0.12, 0.2),
        R_sersic=radius,
        n_sersic=1.0,
        arm_contrast=rng.uniform(0.8, 1.6),
        pitch=pitch,
        R_core=core,
        phi_arm=phi_arm,
        **place,
    )
    parts: list[tuple[lp.LightProfile, tuple[float, float, float]]] = [
        (bulge, _OLD),
        (disc, _DISC),
    ]
    for _ in range(rng.integers(4, 12)):
        R, arm = radius * rng.uniform(0.5, 2.0), rng.integers(0, m)
        along = phi_arm + 0.5 * math.log1p((R / core) ** 2) / math.tan(pitch)
        along += 2 * math.pi * arm / m + rng.normal(0.0, 0.12)
        u, v = R * math.cos(along), R * math.sin(along)
        scale = 1 / math.sqrt(1 - modulus * modulus)
        clump = lp.Gaussian(
            amp=rng.uniform(0.5, 2.5) * math.exp(-0.5 * R / radius),
            sigma=rng.uniform(0.6, 1.2),
            center_x=scale * ((1 + e1) * u + e2 * v),
            center_y=scale * ((1 - e1) * v + e2 * u),
        )
        parts.append((clump, _YOUNG))
    return parts


def _neighbour(x: Tensor, y: Tensor, distance: float, rng: np.random.Generator) -> Tensor:
    """A small galaxy or a star near the edge of the picture."""
    angle = rng.uniform(0, 2 * math.pi)
    at = {"center_x": distance * math.cos(angle), "center_y": distance * math.sin(angle)}
    light = lp.Gaussian(amp=rng.uniform(4.0, 12.0), sigma=rng.uniform(0.8, 1.6), **at)
    colour = torch.tensor(_OLD if rng.uniform() < 0.5 else _DISC, dtype=x.dtype)
    return colour[:, None, None] * light.surface_brightness(x, y)
