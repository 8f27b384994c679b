"""Noise of the detector and the sky, and of the photons themselves."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from lensphys.arrays import in_precision
from lensphys.parameters import (
    Parameter,
    Profile,
    align,
    check_range,
    parameter,
    read_parameter,
)


def background_sigma(
    *,
    read_noise: float,
    sky_brightness: float,
    magnitude_zero_point: float,
    exposure_time: float,
    num_exposures: int,
    pixel_scale: float,
) -> float:
    """Standard deviation of read-out and sky noise in one pixel, e-/s.

    ``sqrt(N read_noise^2 + T sky_cps pixel_area) / T`` with ``T = N exposure_time``.

    Args:
        read_noise: e- per read-out.
        sky_brightness: AB magnitude per arcsec^2.
        magnitude_zero_point: AB magnitude of 1 e-/s.
        exposure_time: of one exposure, s.
        num_exposures: number ``N`` of exposures.
        pixel_scale: arcsec.

    Raises:
        ValueError: for a number that is not finite, a negative read noise, or an exposure, number
            of exposures or pixel that is not positive.
    """
    read_noise = _read_one("read_noise", read_noise)
    sky_brightness = _read_one("sky_brightness", sky_brightness)
    magnitude_zero_point = _read_one("magnitude_zero_point", magnitude_zero_point)
    exposure_time = _read_one("exposure_time", exposure_time, "s")
    number = _read_one("num_exposures", num_exposures)
    pixel_scale = _read_one("pixel_scale", pixel_scale, "arcsec")
    check_range("read_noise", read_noise, 0.0, math.inf, False)
    for name, value in (
        ("exposure_time", exposure_time),
        ("num_exposures", number),
        ("pixel_scale", pixel_scale),
    ):
        check_range(name, value, 0.0, math.inf, True)
    total_time = exposure_time * number
    sky = 10 ** (-0.4 * (sky_brightness - magnitude_zero_point)) * pixel_scale**2
    return math.sqrt(number * read_noise**2 + total_time * sky) / total_time


def _read_one(name: str, value: Any, unit: str = "") -> float:
    """Return one finite number."""
    read = read_parameter(name, value, unit)
    if not isinstance(read, Tensor):
        return read
    if read.numel() != 1:
        raise ValueError(f"{name} must be one number, got a tensor of shape {tuple(read.shape)}")
    return float(read.detach())


@dataclasses.dataclass(frozen=True)
class Noise(Profile):
    """Gaussian background and Poisson shot noise of an image in e-/s.

    Args:
        background_sigma: standard deviation of the background, e-/s; a number or ``(B,)``.
        exposure_time: total exposure time, s; a number or ``(B,)``.

    Raises:
        ValueError: for a background below zero, an exposure time that is not positive, or either
            not finite.
    """

    background_sigma: Parameter = parameter(unit="e-/s", low=0.0)
    exposure_time: Parameter = parameter(unit="s", low=0.0, open_low=True)

    def sigma(self, image: Tensor) -> Tensor:
        """Standard deviation of every pixel, e-/s, of a noise-free image of the same unit."""
        image = in_precision("image", image)
        shot = image.clamp_min(0) / align(self.exposure_time, image)
        return torch.sqrt(align(self.background_sigma, image) ** 2 + shot)

    def add(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """A noisy realisation: Poisson counts of the electrons, plus a Gaussian background."""
        image = in_precision("image", image)
        time = align(self.exposure_time, image)
        counts = torch.poisson((image * time).clamp_min(0), generator=generator)
        normal = torch.randn(
            image.shape, generator=generator, dtype=image.dtype, device=image.device
        )
        return counts / time + normal * align(self.background_sigma, image)
