"""From the numbers in an image to e-/s, with the PSF and the noise that belong to them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simulate.errors import InputError
from simulate.shards import DataSet

#: e-/s in one unit of an image; counts are divided by their own exposure.
_UNITS = {"e-/s": 1.0, "2 e-/s": 0.5}
_COUNTS = "counts"
#: What the published Models 2 and 3 are: twice the image, without noise.
_NOISE_FREE = "2 e-/s"
#: What each attribute is, and how a data set gets it.
_ATTRIBUTES = {
    "pixel_scale": "width of a pixel, arcsec",
    "psf_fwhm": "full width at half maximum of the PSF, arcsec",
    "background_sigma": "background noise of a pixel, e-/s",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Photometry:
    """What is known of N images of one instrument.

    Images without noise carry the nominal noise of their instrument.

    Attributes:
        pixel_scale: arcsec.
        psf_fwhm: of a Gaussian PSF, arcsec.
        psf_truncation: where it ends, in standard deviations.
        background_sigma: standard deviation of the noise of a dark pixel, e-/s.
        rate: (N,) e-/s in one unit of the image.
        exposure: (N,) s; infinite where it is not known, and shot noise with it.
        shot: variance of the shot noise over that of Poisson.
        noisy: whether the images have the noise that they are taken to have.
    """

    pixel_scale: float
    psf_fwhm: float
    psf_truncation: float
    background_sigma: float
    rate: NDArray[np.float64]
    exposure: NDArray[np.float64]
    shot: float = 1.0
    noisy: bool = True

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
        return cls.known(data.attrs, exposure, column, str(data.path))

    @classmethod
    def known(
        cls, attrs: Mapping[str, Any], exposure: NDArray[np.float64], column: str, where: str
    ) -> Self:
        """The photometry of images with these attributes and exposure times (N,), s.

        Raises:
            InputError: where an attribute is missing, naming it and ``where``.
        """
        suffix = "_lr" if column == "image_lr" else ""
        values = {}
        for name, meaning in _ATTRIBUTES.items():
            value = float(attrs.get(name + suffix, math.nan))
            if not 0 < value < math.inf:
                raise InputError(
                    f"{where} does not say its {name + suffix} ({meaning}); import it with "
                    "--instrument NAME, or --model 1, 2 or 3 of DeepLense"
                )
            values[name] = value
        unit = attrs.get("unit")
        known = np.where(exposure > 0, exposure, math.inf)
        optics = (
            values["pixel_scale"],
            values["psf_fwhm"],
            float(attrs.get("psf_truncation", 5.0)),
            values["background_sigma"],
        )
        if unit == _COUNTS:
            if not np.isfinite(known).all():
                raise InputError(
                    f"{where} has images in counts without exposure_time; import them in e-/s"
                )
            # DeepLenseSim draws shot noise twice.
            return cls(*optics, rate=1 / known, exposure=known, shot=2.0)
        if unit not in _UNITS:
            raise InputError(
                f"{where} has images in '{unit}', whose noise is not known; the unit must be "
                f"{', '.join(_UNITS)} or {_COUNTS} (import --unit)"
            )
        rate = np.full(len(known), _UNITS[unit])
        return cls(*optics, rate=rate, exposure=known, noisy=unit != _NOISE_FREE)

    def select(self, rows: slice | NDArray[np.int64]) -> Self:
        """The photometry of some of the images."""
        return dataclasses.replace(self, rate=self.rate[rows], exposure=self.exposure[rows])
