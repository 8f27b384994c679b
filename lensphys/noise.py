"""Noise of the detector and the sky, and of the photons themselves."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.parameters import Parameter, Profile, align, check_number, parameter


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
    check_number("read_noise", read_noise, low=0.0)
    check_number("sky_brightness", sky_brightness)
    check_number("magnitude_zero_point", magnitude_zero_point)
    check_number("exposure_time", exposure_time, low=0.0, open_low=True)
    check_number("num_exposures", num_exposures, low=0.0, open_low=True)
    check_number("pixel_scale", pixel_scale, low=0.0, open_low=True)
    total_time = exposure_time * num_exposures
    sky = 10 ** (-0.4 * (sky_brightness - magnitude_zero_point)) * pixel_scale**2
    return math.sqrt(num_exposures * read_noise**2 + total_time * sky) / total_time


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
        shot = image.clamp_min(0) / align(self.exposure_time, image)
        return torch.sqrt(align(self.background_sigma, image) ** 2 + shot)

    def add(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """A noisy realisation: Poisson counts of the electrons, plus a Gaussian background."""
        time = align(self.exposure_time, image)
        counts = torch.poisson((image * time).clamp_min(0), generator=generator)
        normal = torch.randn(
            image.shape, generator=generator, dtype=image.dtype, device=image.device
        )
        return counts / time + normal * align(self.background_sigma, image)
