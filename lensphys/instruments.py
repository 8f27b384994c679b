"""Frozen instrument presets: pixels, PSF and noise, each with its version and its source."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from lensphys.ground.numbers import check_count, is_number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lensphys.noise import Noise
    from lensphys.parameters import Parameter
    from lensphys.psf import GaussianPSF, MoffatPSF

# What needs torch is imported by the functions that use it: the numbers of an instrument do not.

Number = TypeVar("Number", float, "Tensor")


@dataclasses.dataclass(frozen=True)
class Band:
    """Detector and exposure of one photometric band, as lenstronomy's ``SingleBand`` names them.

    Raises:
        ValueError: for a number that is not finite, a read noise below 0, or a gain, an exposure
            time or a number of exposures that is not positive.
    """

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

    def __post_init__(self) -> None:
        _check(self, ("magnitude_zero_point", "sky_brightness"), low=-math.inf)
        _check(self, ("read_noise",), low=0.0)
        _check(self, ("ccd_gain", "exposure_time", "num_exposures"), above=0.0)


@dataclasses.dataclass(frozen=True)
class Instrument:
    """Telescope and detector that turn surface brightness into an image.

    Raises:
        ValueError: for a number that is not finite or out of range.
    """

    n_pix: int
    """pixels on a side of an image"""
    pixel_scale: float
    """arcsec"""
    psf_fwhm: float
    """arcsec"""
    psf_truncation: float
    """radius of a Gaussian PSF in standard deviations, of a Moffat in FWHM"""
    source: str
    """source of the numbers"""
    version: str
    """the state of the instrument, the release or the edition that they describe"""
    psf_beta: float | None = None
    """slope of the wings of a Moffat PSF; none: a Gaussian"""
    band: Band | None = None
    background_rms: float | None = None
    """per pixel, flux per unit time; for instruments without a band"""

    def __post_init__(self) -> None:
        _check(self, ("n_pix", "pixel_scale", "psf_fwhm", "psf_truncation"), above=0.0)
        if self.psf_beta is not None:
            _check(self, ("psf_beta",), above=1.0)
        if self.background_rms is not None:
            _check(self, ("background_rms",), low=0.0)

    @property
    def background_sigma(self) -> float:
        """Standard deviation of the background noise of one pixel, e-/s."""
        if self.band is None:
            return self.background_rms or 0.0
        from lensphys.noise import background_sigma

        band = dataclasses.asdict(self.band)
        del band["ccd_gain"]
        return background_sigma(pixel_scale=self.pixel_scale, **band)

    @property
    def total_exposure(self) -> float | None:
        """Total exposure time in s, where the instrument fixes it."""
        return self.band.exposure_time * self.band.num_exposures if self.band else None

    def flux(self, magnitude: Number) -> Number:
        """e-/s of a source of this AB magnitude.

        Raises:
            ValueError: for an instrument without photometric zero point.
        """
        if self.band is None:
            raise ValueError("magnitude needs an instrument with a zero point; give a flux")
        if isinstance(magnitude, list | tuple) or _is_odd(magnitude):
            raise ValueError(
                "magnitude must be a number, or a tensor or an array in single or double precision,"
                f" got {type(magnitude).__name__}"
            )
        flux: Number = 10.0 ** (-0.4 * (magnitude - self.band.magnitude_zero_point))
        return flux

    def grid(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Coordinates ``x, y`` of the pixel centres, arcsec; see :func:`lensphys.pixel_grid`."""
        from lensphys.grid import pixel_grid

        return pixel_grid(self.n_pix, self.pixel_scale, dtype=dtype, device=device)

    def psf(self, supersampling: int = 1) -> GaussianPSF | MoffatPSF:
        """The point-spread function on the pixels, or on pixels finer by ``supersampling``.

        The latter goes with :func:`lensphys.render` at the same ``supersampling``.

        Raises:
            ValueError: for a supersampling below 1.
        """
        from lensphys.psf import GaussianPSF, MoffatPSF

        check_count("supersampling", supersampling)
        scale = self.pixel_scale / supersampling
        if self.psf_beta is None:
            return GaussianPSF(self.psf_fwhm, scale, self.psf_truncation)
        return MoffatPSF(self.psf_fwhm, self.psf_beta, scale, self.psf_truncation)

    def noise(self, exposure_time: Parameter | None = None) -> Noise:
        """Background and shot noise, for the exposure time of the band where none is given.

        The background is that of the band's own exposure time in either case.

        Raises:
            ValueError: if neither gives an exposure time.
        """
        from lensphys.noise import Noise

        time = self.total_exposure if exposure_time is None else exposure_time
        if time is None:
            raise ValueError("exposure_time is needed, since the instrument does not fix it")
        return Noise(self.background_sigma, time)

    def coarsen(self, factor: int) -> Self:
        """Return the same field through a telescope of a resolution lower by ``factor``.

        Pixels and PSF are wider by the factor, and a pixel collects the sky of a larger area.

        Raises:
            ValueError: if the pixels cannot be divided by the factor.
        """
        if factor < 1 or self.n_pix % factor:
            raise ValueError(f"factor {factor} does not divide images of {self.n_pix} pixels")
        if self.n_pix == factor:
            raise ValueError(f"factor {factor} leaves a single pixel of the image")
        rms = None if self.background_rms is None else self.background_rms * factor
        return dataclasses.replace(
            self,
            n_pix=self.n_pix // factor,
            pixel_scale=self.pixel_scale * factor,
            psf_fwhm=self.psf_fwhm * factor,
            background_rms=rms,
        )


def _check(
    owner: Band | Instrument,
    names: tuple[str, ...],
    low: float = -math.inf,
    above: float = -math.inf,
) -> None:
    for name in names:
        value = getattr(owner, name)
        if not (is_number(value) and value >= low and value > above):
            allowed = f"above {above:g}" if above > -math.inf else f"from {low:g} on"
            raise ValueError(f"{name} must be finite and {allowed}, got {value}")


def _is_odd(magnitude: Any) -> bool:
    """Tell if numbers are of half precision, which holds no flux, or of more than double."""
    return getattr(getattr(magnitude, "dtype", None), "itemsize", 8) not in (4, 8)


def instrument(name: str) -> Instrument:
    """The preset of this name, a copy of its own.

    Raises:
        ValueError: for an unknown name, with the nearest known one.
    """
    if name not in INSTRUMENTS:
        near = difflib.get_close_matches(name, INSTRUMENTS, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else f"; known: {', '.join(INSTRUMENTS)}"
        raise ValueError(f"unknown instrument '{name}'{hint}")
    return copy.deepcopy(INSTRUMENTS[name])


_LENSTRONOMY = "lenstronomy 1.13.6"


def _euclid_vis() -> Instrument:
    return Instrument(
        n_pix=64,
        pixel_scale=0.1,
        psf_fwhm=0.16,
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=25.92,
            sky_brightness=22.35,
            read_noise=4.4,
            ccd_gain=3.48,
            exposure_time=560.5,
            num_exposures=4,
        ),
        version="Q1, March 2025",
        source="PSF: Euclid Collaboration (McCracken et al.) 2025, Q1 VIS, abstract. Zero point, "
        "derived: 24.57 mag of 1 ADU/s in Q1 + 2.5 log10(3.48 e-/ADU). Pixel, read noise, gain and "
        "effective time of the 4 long exposures: GalSim-Euclid-Like, instrument_params (from "
        "euclid-ec.org). Sky: lenstronomy 1.13.6, ObservationConfig.Euclid. Not included: the two "
        "short exposures.",
    )


def _euclid_nisp(band: str, zero_point: float, sky: float) -> Instrument:
    return Instrument(
        n_pix=32,
        pixel_scale=0.3,
        psf_fwhm=0.49,
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=zero_point,
            sky_brightness=sky,
            read_noise=7.0,
            ccd_gain=1.9,
            exposure_time=87.2,
            num_exposures=4,
        ),
        version="Euclid on Sky, 2025",
        source=f"Zero point of {band}_E: Euclid Collaboration (Schirmer et al.) 2022 (A&A 662, "
        "A92), good to 0.05 mag. PSF: Cuillandre et al. 2025 (A&A 697, A6), abstract, one width "
        "for the three bands. Read noise (photometric mode) and gain (0.52 ADU/e-): Euclid "
        "Collaboration 2025, arXiv:2507.11326, abstract. Effective exposure time: "
        "GalSim-Euclid-Like, instrument_params. Sky, derived: zodiacal light of Leinert et al. "
        "1998 at ecliptic latitude 30 deg, 90 deg from the Sun; no stray or thermal light.",
    )


def _hst_acs_f814w() -> Instrument:
    return Instrument(
        n_pix=128,
        pixel_scale=0.05,
        psf_fwhm=0.09,
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=25.943,
            sky_brightness=22.30,
            read_noise=5.0,
            ccd_gain=2.0,
            exposure_time=507.0,
            num_exposures=4,
        ),
        version="COSMOS, one orbit",
        source="PSF and pixel: Scoville et al. 2007 (ApJS 172, 38), abstract. Exposure: Koekemoer "
        "et al. 2007 (ApJS 172, 196), 2028 s in 4 exposures. Zero point: Koekemoer et al. 2011 "
        "(ApJS 197, 36). Read noise, rounded, and gain: ACS Instrument Handbook 2005, sec. 4.3. "
        "Sky, derived: zodiacal light of Leinert et al. 1998 at ecliptic latitude 30 deg, 90 deg "
        "from the Sun; no earthshine.",
    )


def _hst_wfc3_ir_f160w() -> Instrument:
    return Instrument(
        n_pix=64,
        pixel_scale=0.08,
        psf_fwhm=0.151,
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=25.936,
            sky_brightness=22.3,
            read_noise=4.0,
            ccd_gain=2.5,
            exposure_time=5400.0,
            num_exposures=1,
        ),
        version="2020 calibration, two orbits",
        source="Zero point: Bajaj et al. 2020 (WFC3 ISR 2020-10), infinite aperture. PSF: WFC3 "
        "Instrument Handbook, table 7.5, at 1600 nm, before pixelation. Drizzled pixel, sky, read "
        "noise, gain and exposure: lenstronomy 1.13.6, ObservationConfig.HST WFC3_F160W (whose PSF "
        "is as wide as its pixel, half the width of the telescope's).",
    )


def _lsst(
    band: str, zero_point: float, sky: float, k_atm: float, fwhm_eff: float, n: int
) -> Instrument:
    return Instrument(
        n_pix=48,
        pixel_scale=0.2,
        psf_fwhm=round(0.822 * fwhm_eff + 0.052, 3),
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=zero_point,
            sky_brightness=round(sky - k_atm, 2),
            read_noise=9.0,
            ccd_gain=1.0,
            exposure_time=30.0,
            num_exposures=n,
        ),
        version="10 years",
        source=f"{band} band: Rubin Observatory SMTN-002 (2025-07): zero point at zenith, "
        "instrumental noise (read noise and dark current), exposures of 30 s. PSF, derived: "
        f"FWHM_geom = 0.822 FWHM_eff + 0.052 with FWHM_eff = {fwhm_eff} arcsec. Sky, derived: dark "
        f"zenith sky of {sky} mag less {k_atm} mag, since the sky is not dimmed by the atmosphere "
        "that the zero point includes. Visits: Ivezic et al. 2019 (ApJ 873, 111), table 1. A coadd "
        "under median conditions (airmass, moon, seeing) is shallower.",
    )


def _roman(
    band: str, zero_point: float, fwhm: float, zodiacal: float, thermal: float
) -> Instrument:
    pixel_scale = 0.11
    sky = zero_point - 2.5 * math.log10((zodiacal + thermal) / pixel_scale**2)
    return Instrument(
        n_pix=64,
        pixel_scale=pixel_scale,
        psf_fwhm=fwhm,
        psf_truncation=5.0,
        band=Band(
            magnitude_zero_point=zero_point,
            sky_brightness=round(sky, 2),
            read_noise=8.5,
            ccd_gain=1.0,
            exposure_time=107.0,
            num_exposures=6,
        ),
        version="High Latitude Wide Area Survey, medium tier",
        source=f"{band}: Roman technical information (RomanSpaceTelescope, 2026-02): PSF at the "
        "centre of the field; zero point, mean of the 18 detectors, 2024-03-01. Sky, derived: "
        f"minimum zodiacal light of {zodiacal} and internal thermal background of {thermal} "
        "e-/s/pixel. Read noise, gain, pixel and exposures: lenstronomy 1.13.6, "
        "ObservationConfig.Roman wide_area (the flight detectors measure 6.1 e- in 170 s).",
    )


#: Instruments by name, see :func:`instrument`. The first three are those of the published DeepLense
#: data sets, read from DeepLenseSim and copied from lenstronomy, whose presets are mutable and leak
#: between instances.
INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {
        "deeplense_model1": Instrument(
            n_pix=150,
            pixel_scale=0.05,
            psf_fwhm=0.087,
            psf_truncation=3.0,
            background_rms=0.01,
            version="DeepLenseSim a0c0191",
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
            version=_LENSTRONOMY,
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
            version=_LENSTRONOMY,
            source="lenstronomy 1.13.6, ObservationConfig.HST WFC3_F160W, GAUSSIAN",
        ),
        "euclid_vis": _euclid_vis(),
        "euclid_nisp_y": _euclid_nisp("Y", 25.04, 22.25),
        "euclid_nisp_j": _euclid_nisp("J", 25.26, 22.25),
        "euclid_nisp_h": _euclid_nisp("H", 25.21, 22.40),
        "hst_acs_f814w": _hst_acs_f814w(),
        "hst_wfc3_ir_f160w": _hst_wfc3_ir_f160w(),
        "lsst_u": _lsst("u", 26.52, 23.05, 0.47, 0.92, 56),
        "lsst_g": _lsst("g", 28.51, 22.25, 0.21, 0.87, 80),
        "lsst_r": _lsst("r", 28.36, 21.20, 0.13, 0.83, 184),
        "lsst_i": _lsst("i", 28.17, 20.46, 0.10, 0.80, 184),
        "lsst_z": _lsst("z", 27.78, 19.61, 0.07, 0.78, 160),
        "lsst_y": _lsst("y", 26.82, 18.60, 0.17, 0.76, 160),
        "roman_f106": _roman("F106", 26.3546, 0.087, 0.277, 0.003),
        "roman_f129": _roman("F129", 26.3531, 0.106, 0.267, 0.003),
        "roman_f158": _roman("F158", 26.3760, 0.128, 0.244, 0.048),
    }
)
