"""Symmetries of the square: views of an image that are physically exact."""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

from learn.lens_fits.channels import CHANNELS, VECTORS
from learn.lens_fits.lens_fits import NAMES, LensFits
from simulate.augment.lens_batch import LensBatch, Optics, Params
from simulate.augment.transforms import turn, turn_images


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
    return tuple(turn_images(stack, symmetry) for stack in images)


def random_symmetry(count: int, device: torch.device) -> Tensor:
    """One of the eight symmetries of the square for each image, as in :func:`turn_images`."""
    return torch.randint(8, (count,)).to(device)


def turn_channels(channels: Tensor, symmetry: Tensor) -> Tensor:
    """Turn and flip the channels (B, 10, H, W) of lens fits; vectors turn too."""
    parts = CHANNELS.split(turn_images(channels, symmetry))
    quarter = symmetry % 4
    mirror = torch.where(symmetry >= 4, -1.0, 1.0).to(channels)[:, None, None]
    cos = torch.tensor([1.0, 0.0, -1.0, 0.0]).to(channels)[quarter][:, None, None]
    sin = torch.tensor([0.0, 1.0, 0.0, -1.0]).to(channels)[quarter][:, None, None]
    for name in VECTORS:
        # A quarter turn takes the last axis to the one before it, backwards.
        along, up = parts[name].unbind(1)
        parts[name] = torch.stack([mirror * (cos * along + sin * up), cos * up - sin * along], 1)
    return CHANNELS.join(parts)


def turn_fits(fits: LensFits, symmetry: Tensor) -> LensFits:
    """Turn and flip lens fits as their images are, with all that belongs to them."""
    place, sign = (table[symmetry] for table in _place_parameters(fits.names, symmetry.device))
    rows = torch.arange(len(symmetry), device=symmetry.device)[:, None, None]
    covariance = fits.covariance[rows, place[:, :, None], place[:, None]]
    channels, deviation, detail = fits.channels, fits.deviation, fits.detail
    if channels is not None:
        assert isinstance(channels, Tensor)
        channels = turn_channels(channels, symmetry)
    if deviation is not None:
        deviation = _turn_matrix(deviation, NAMES, symmetry)
    return dataclasses.replace(
        fits,
        values=_turn_matrix(fits.values, fits.names, symmetry),
        covariance=covariance * (sign[:, :, None] * sign[:, None]).to(covariance),
        channels=channels,
        deviation=deviation,
        detail=None if detail is None else turn_images(detail, symmetry),
    )


def _turn_matrix(values: Tensor, names: tuple[str, ...], symmetry: Tensor) -> Tensor:
    """Turn parameters (B, P), or differences of them, whose names are given."""
    columns = dict(zip(names, values.unbind(1), strict=True))
    moved = _turn_columns(columns, symmetry)
    return torch.stack([moved[name] for name in names], 1)


@functools.lru_cache(maxsize=4)
def _place_parameters(names: tuple[str, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Index of the parameter that each of P comes from under a symmetry, and its sign: (8, P)."""
    count = len(names)
    units = dict(zip(names, torch.eye(count, device=device), strict=True))
    moved = [
        _turn_columns(units, torch.full((count,), number, device=device)) for number in range(8)
    ]
    table = torch.stack([torch.stack([part[name] for name in names]) for part in moved])
    place = table.abs().argmax(2)
    return place, table.gather(2, place[..., None])[..., 0]


def _turn_columns(params: Params, symmetry: Tensor) -> Params:
    """Turn columns (B,) of parameters, or of differences of them."""
    flag = symmetry.new_zeros((len(symmetry), 1, 1, 1), dtype=torch.float32)
    return turn_lenses(flag, params, symmetry)[1]


def turn_lenses(image: Tensor, params: Params, symmetry: Tensor) -> tuple[Tensor, Params]:
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
