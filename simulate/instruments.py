"""Frozen instrument presets: pixels, PSF and noise, each with its source."""

from __future__ import annotations

import dataclasses
import math

import lensphys as lp
from simulate.config import suggestion
from simulate.errors import InputError


@dataclasses.dataclass(frozen=True)
class Band:
    """Detector and exposure of one photometric band, as lenstronomy's ``SingleBand`` names them."""

    magnitude_zero_point: float
    """AB magnitude of 1 e-/s."""
    sky_brightness: float
    """AB magnitude per arcsec^2."""
    read_noise: float
    """e- per read-out."""
    ccd_gain: float
    """e- per ADU; images are in e-, so it changes nothing here."""
    exposure_time: float
    """Of one exposure, s."""
    num_exposures: int


@dataclasses.dataclass(frozen=True)
class Instrument:
    """What turns surface brightness into an image."""

    n_pix: int
    pixel_scale: float
    """arcsec"""
    psf_fwhm: float
    """arcsec, Gaussian"""
    psf_truncation: float
    """radius of the PSF kernel in standard deviations"""
    source: str
    """where the numbers come from"""
    band: Band | None = None
    background_rms: float | None = None
    """per pixel, flux per unit time; for instruments without a band"""

    @property
    def background_sigma(self) -> float:
        """Standard deviation of the background noise of one pixel, e-/s."""
        if self.band is None:
            return self.background_rms or 0.0
        band = dataclasses.asdict(self.band)
        del band["ccd_gain"]
        return lp.background_sigma(pixel_scale=self.pixel_scale, **band)

    @property
    def total_exposure(self) -> float | None:
        """Total exposure time in s, where the instrument fixes it."""
        return self.band.exposure_time * self.band.num_exposures if self.band else None

    def flux(self, magnitude: float) -> float:
        """e-/s of a source of this AB magnitude.

        Raises:
            InputError: for an instrument without photometric zero point.
        """
        if self.band is None:
            raise InputError(
                "source.magnitude needs an instrument with a zero point; give source.amplitude"
            )
        return math.pow(10.0, -0.4 * (magnitude - self.band.magnitude_zero_point))

    def coarser(self, factor: int) -> Instrument:
        """The same field through a telescope of a resolution lower by ``factor``.

        Pixels and PSF are wider by the factor, and a pixel collects the sky of a larger area.

        Raises:
            InputError: where the pixels cannot be divided by the factor.
        """
        if self.n_pix % factor:
            raise InputError(f"--pairs {factor} does not divide images of {self.n_pix} pixels")
        if self.n_pix == factor:
            raise InputError(f"--pairs {factor} leaves a single pixel of the image")
        rms = None if self.background_rms is None else self.background_rms * factor
        return dataclasses.replace(
            self,
            n_pix=self.n_pix // factor,
            pixel_scale=self.pixel_scale * factor,
            psf_fwhm=self.psf_fwhm * factor,
            background_rms=rms,
        )


#: The instruments of the published DeepLense data sets. Read from DeepLenseSim (commit a0c0191) and
#: copied from lenstronomy 1.13.6, whose own presets are mutable and leak between instances.
INSTRUMENTS = {
    "deeplense_model1": Instrument(
        n_pix=150,
        pixel_scale=0.05,
        psf_fwhm=0.087,
        psf_truncation=3.0,
        background_rms=0.01,
        source="DeepLenseSim a0c0191, DeepLens.simple_sim",
    ),
    "euclid_vis_published": Instrument(
        n_pix=64,
        pixel_scale=0.101,
        psf_fwhm=0.16,
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=24.0,
            sky_brightness=22.35,
            read_noise=4.2,
            ccd_gain=3.1,
            exposure_time=565.0,
            num_exposures=4,
        ),
        source="lenstronomy 1.13.6, ObservationConfig.Euclid VIS, 6 years, GAUSSIAN",
    ),
    "hst_wfc3_f160w_published": Instrument(
        n_pix=64,
        pixel_scale=0.08,
        psf_fwhm=0.08,
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=25.96,
            sky_brightness=22.3,
            read_noise=4.0,
            ccd_gain=2.5,
            exposure_time=5400.0,
            num_exposures=1,
        ),
        source="lenstronomy 1.13.6, ObservationConfig.HST WFC3_F160W, GAUSSIAN",
    ),
}


def instrument(name: str) -> Instrument:
    """The preset of this name.

    Raises:
        InputError: for an unknown name.
    """
    if name not in INSTRUMENTS:
        raise InputError(f"unknown instrument '{name}'{suggestion(name, INSTRUMENTS)}")
    return INSTRUMENTS[name]
