"""Random views of an image that are physically exact."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from learn.lens_fits.channels import VECTORS
from learn.lens_fits.parameters import Fit
from simulate.augment.lens_batch import LensBatch, Optics, Params
from simulate.augment.transforms import turn, turned


def random_d4(*images: Tensor) -> tuple[Tensor, ...]:
    """Turn and flip each image at random, one of the eight symmetries of the square.

    Gravity has no preferred direction, so these leave the physics untouched; zooms would change
    the Einstein radius.

    Args:
        images: square stacks (B, C, H, H), of which the i-th images get the same symmetry: an
            image and its low-resolution twin, say.

    Returns:
        The transformed stacks.
    """
    symmetry = random_symmetry(len(images[0]), images[0].device)
    return tuple(turned(stack, symmetry) for stack in images)


def random_symmetry(count: int, device: torch.device) -> Tensor:
    """One of the eight symmetries of the square for each image, as :func:`turned` takes them."""
    return torch.randint(8, (count,)).to(device)


def turned_prior(channels: Tensor, symmetry: Tensor) -> Tensor:
    """The channels (B, 6, H, W) of a lens prior, turned and flipped; vectors turn too."""
    moved = turned(channels, symmetry)
    quarter = symmetry % 4
    mirror = torch.where(symmetry >= 4, -1.0, 1.0).to(channels)[:, None, None]
    cos = torch.tensor([1.0, 0.0, -1.0, 0.0]).to(channels)[quarter][:, None, None]
    sin = torch.tensor([0.0, 1.0, 0.0, -1.0]).to(channels)[quarter][:, None, None]
    parts = list(moved.unbind(1))
    for i, j in VECTORS:
        # A quarter turn takes the last axis to the one before it, backwards.
        along, up = parts[i], parts[j]
        parts[i], parts[j] = mirror * (cos * along + sin * up), cos * up - sin * along
    return torch.stack(parts, 1)


def turned_fit(fit: Fit, symmetry: Tensor) -> Fit:
    """The fits of images that are turned and flipped, as the fits of those images would be."""
    place, sign = (table[symmetry] for table in _turned_places(tuple(fit.params), symmetry.device))
    rows = torch.arange(len(symmetry), device=symmetry.device)[:, None, None]
    covariance = fit.covariance[rows, place[:, :, None], place[:, None]]
    return fit._replace(
        params=_turned_columns(fit.params, symmetry),
        covariance=covariance * (sign[:, :, None] * sign[:, None]).to(covariance),
        deviation=fit.deviation and _turned_columns(fit.deviation, symmetry),
    )


@functools.lru_cache(maxsize=4)
def _turned_places(names: tuple[str, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each of P parameters comes from under each symmetry, and its sign: (8, P) both."""
    count = len(names)
    units = dict(zip(names, torch.eye(count, device=device), strict=True))
    moved = [
        _turned_columns(units, torch.full((count,), number, device=device)) for number in range(8)
    ]
    table = torch.stack([torch.stack([part[name] for name in names]) for part in moved])
    place = table.abs().argmax(2)
    return place, table.gather(2, place[..., None])[..., 0]


def _turned_columns(params: Params, symmetry: Tensor) -> Params:
    """Columns (B,) of parameters, or of differences of them, under symmetries of the square."""
    flag = symmetry.new_zeros((len(symmetry), 1, 1, 1), dtype=torch.float32)
    return turned_lenses(flag, params, symmetry)[1]


def turned_lenses(image: Tensor, params: Params, symmetry: Tensor) -> tuple[Tensor, Params]:
    """Turn and flip each image, and with it what describes it.

    Args:
        image: square, (B, 1, H, H).
        params: (B,) columns of a data set: positions, ellipticities, shear and angles turn too.
        symmetry: (B,) of :func:`random_symmetry`.

    Returns:
        The transformed images and their columns.
    """
    unknown = image.new_full((len(image),), math.nan)
    optics = Optics(pixel_scale=1.0, psf_fwhm=unknown, background_sigma=unknown)  # plays no part
    after = turn(LensBatch(image, params, optics), symmetry)
    return after.image, after.params
