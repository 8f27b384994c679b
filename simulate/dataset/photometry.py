"""Photometry of a data set: e-/s in the unit of its images, PSF and noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from lensphys.ground.errors import InputError
from lensphys.rendering import Pixels
from simulate.dataset.padding import LEAST, find_shown, read_padding
from simulate.observe import NOISELESS
from simulate.presets import list_models
from simulate.shards import DataSet

#: e-/s in one unit of an image; counts are divided by their own exposure.
_UNITS = {"e-/s": 1.0, "2 e-/s": 0.5}
_COUNTS = "counts"
#: Unit of the published Models 2 and 3, which are twice the image, without noise.
_NOISE_FREE = "2 e-/s"
#: Meaning of each attribute that is needed.
_ATTRIBUTES = {
    "pixel_scale": "width of a pixel, arcsec",
    "psf_fwhm": "full width at half maximum of the PSF, arcsec",
    "background_sigma": "background noise of a pixel, e-/s",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Photometry:
    """Optics, unit, exposure and noise of N images of one instrument.

    Images without noise carry the nominal noise of their instrument.

    Attributes:
        pixel_scale: arcsec.
        psf_fwhm: full width at half maximum of the PSF, arcsec.
        psf_truncation: radius of a Gaussian PSF in standard deviations, of a Moffat in FWHM.
        background_sigma: standard deviation of the noise of a dark pixel, e-/s.
        rate: (N,) e-/s in one unit of the image.
        exposure: (N,) s; infinite where it is not known, and shot noise with it.
        clipped: the images are counts of the published Model 1: shot noise is drawn twice,
            and what is negative after the first time is cut off.
        noisy: the images have the noise that they are taken to have.
        rays: along a side of a pixel, as the images were rendered.
        psf_beta: slope of the wings of a Moffat PSF; None: a Gaussian.
        padding: (N, 4) see :func:`simulate.dataset.padding.read_padding`; None without.
    """

    pixel_scale: float
    psf_fwhm: float
    psf_truncation: float
    background_sigma: float
    rate: NDArray[np.float64]
    exposure: NDArray[np.float64]
    clipped: bool = False
    noisy: bool = True
    rays: int = 1
    psf_beta: float | None = None
    padding: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, data: DataSet, column: str = "image") -> Self:
        """The photometry of a data set.

        Args:
            data: the data set.
            column: ``image``, or ``image_lr`` for the images at lower resolution.

        Raises:
            InputError: for a data set that lacks an attribute, naming it.
        """
        exposure = data.params.get("exposure_time", np.full(len(data), math.nan))
        known = cls.known(data.attrs, exposure, column, str(data.path), data.config)
        if column == "image" and (padding := read_padding(data.params)) is not None:
            return dataclasses.replace(known, padding=padding)
        return known

    @classmethod
    def known(
        cls,
        attrs: Mapping[str, Any],
        exposure: NDArray[np.float64],
        column: str,
        where: str,
        config: Mapping[str, Any] = MappingProxyType({}),
    ) -> Self:
        """The photometry of images with these attributes and exposure times (N,), s.

        Args:
            attrs: of the data set.
            exposure: (N,) s.
            column: ``image``, or ``image_lr`` for the images at lower resolution.
            where: the data set, for people.
            config: of the simulation of images like these; empty where they are not simulated.

        Raises:
            InputError: if an attribute is missing, naming it and ``where``.
        """
        suffix = "_lr" if column == "image_lr" else ""
        values: dict[str, float] = {}
        for name, meaning in _ATTRIBUTES.items():
            value = float(attrs.get(name + suffix, math.nan))
            if not 0 < value < math.inf:
                raise InputError(
                    f"{where} does not say its {name + suffix} ({meaning}); import it with "
                    f"--instrument NAME, or --model {list_models()} of DeepLense"
                )
            values[name] = value
        unit = attrs.get("unit")
        known = np.where(exposure > 0, exposure, math.inf)
        optics: dict[str, Any] = {
            **values,
            "psf_truncation": float(attrs.get("psf_truncation", 5.0)),
            "psf_beta": float(attrs["psf_beta"]) if "psf_beta" in attrs else None,
            "rays": rays(config, column),
        }
        if unit == _COUNTS:
            if not np.isfinite(known).all():
                raise InputError(
                    f"{where} has images in counts without exposure_time; import them again with "
                    "--exposure-time SECONDS"
                )
            return cls(**optics, rate=1 / known, exposure=known, clipped=True)
        if unit not in _UNITS:
            raise InputError(
                f"{where} has images in '{unit}', whose noise is not known; the unit must be "
                f"{', '.join(_UNITS)} or {_COUNTS} (import --unit)"
            )
        rate = np.full(len(known), _UNITS[unit])
        noisy = unit != _NOISE_FREE and config.get("observation") not in NOISELESS
        return cls(**optics, rate=rate, exposure=known, noisy=noisy)

    def select(self, rows: slice | NDArray[np.int64]) -> Self:
        """The photometry of some of the images."""
        padding = None if self.padding is None else self.padding[rows]
        return dataclasses.replace(
            self, rate=self.rate[rows], exposure=self.exposure[rows], padding=padding
        )

    def pixels(self, shape: tuple[int, int], like: Tensor) -> Pixels:
        """The pixels of images of this shape, in the precision and on the device of a tensor."""
        x, y = lp.pixel_grid(shape, self.pixel_scale, dtype=like.dtype, device=like.device)
        return Pixels(x, y, psf=self.psf, supersampling=self.rays)

    @property
    def psf(self) -> lp.GaussianPSF | lp.MoffatPSF:
        """The PSF on the pixels of the images."""
        if self.psf_beta is None:
            return lp.GaussianPSF(self.psf_fwhm, self.pixel_scale, self.psf_truncation)
        return lp.MoffatPSF(self.psf_fwhm, self.psf_beta, self.pixel_scale, self.psf_truncation)

    def mean_and_sigma(self, model: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and noise of images (N, ny, nx) of noise-free models, e-/s; infinite in padding.

        Images that show fewer than :data:`simulate.dataset.padding.LEAST` pixels on a side have
        the noise of the sky in their padding: they would constrain no lens.

        The mean is the model but for clipped images: what is left of a normal distribution without
        its negative part has a mean above that of the whole.
        """
        exposure = torch.from_numpy(self.exposure).to(model)[:, None, None]
        light = model.clamp(min=0)
        sigma = (self.background_sigma**2 + light / exposure).sqrt()
        if not self.clipped:
            return model, self._mask(sigma)
        normal = torch.distributions.Normal(0.0, 1.0)
        depth = model / sigma
        below, density = normal.cdf(depth), normal.log_prob(depth).exp()
        mean = model * below + sigma * density
        square = (model**2 + sigma**2) * below + model * sigma * density
        return mean, self._mask((square - mean**2 + mean / exposure).clamp_min(0).sqrt())

    def _mask(self, sigma: Tensor) -> Tensor:
        """Noise (N, ny, nx) that is infinite where images are padding."""
        if self.padding is None:
            return sigma
        ny, nx = sigma.shape[-2:]
        shown = find_shown(self.padding, (ny, nx))
        small = np.minimum(shown.any(1).sum(1), shown.any(2).sum(1)) < LEAST
        kept = torch.from_numpy(shown | small[:, None, None]).to(sigma.device)
        return sigma.masked_fill(~kept, math.inf)

    def with_optics(self, optics: Optics) -> OwnPhotometry:
        """The photometry of one image of this kind with a PSF and a noise map of its own."""
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(Photometry)}
        return OwnPhotometry(**known, optics=optics)


@dataclasses.dataclass(frozen=True, eq=False)
class Optics:
    """PSF and noise of one image.

    Attributes:
        kernel: (ky, kx) light of a point source on the pixels of the image, both odd.
        noise: (ny, nx) standard deviation, in the unit of the image; large where it is masked.
    """

    kernel: NDArray[np.float64]
    noise: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class OwnPhotometry(Photometry):
    """Photometry of a single image with a PSF and a noise map of its own."""

    optics: Optics | None = None

    @property
    def psf(self) -> lp.PixelPSF:  # type: ignore[override]
        """The PSF of the image."""
        assert self.optics is not None
        return lp.PixelPSF(self.optics.kernel, self.pixel_scale, normalise=True)

    def mean_and_sigma(self, model: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and noise of the image, any number of times: (N, ny, nx), e-/s."""
        assert self.optics is not None
        sigma = torch.from_numpy(self.optics.noise * self.rate[0]).to(model)
        return model, sigma.expand_as(model)


def rays(config: Mapping[str, Any], column: str) -> int:
    """Rays along a side of a pixel in the images of a data set with this configuration."""
    finer = (config.get("pairs") or 1) if column == "image_lr" else 1
    return int(config.get("supersampling", 1) * finer)
