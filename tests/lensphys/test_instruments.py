"""Presets: what each says, where it is from, and that it cannot be changed."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from lenstronomy.SimulationAPI.observation_api import SingleBand
from lenstronomy.SimulationAPI.ObservationConfig import HST, LSST, Euclid, Roman

import lensphys as lp
from lensphys.instruments import INSTRUMENTS, Band, Instrument

BANDS = [name for name, camera in INSTRUMENTS.items() if camera.band]
LSST_BANDS = [name for name in INSTRUMENTS if name.startswith("lsst")]
#: 5 sigma depth of a point source in one visit, SMTN-002.
M5 = {"u": 23.70, "g": 24.97, "r": 24.52, "i": 24.13, "z": 23.56, "y": 22.55}
FWHM_EFF = {"u": 0.92, "g": 0.87, "r": 0.83, "i": 0.80, "z": 0.78, "y": 0.76}


def single_band(camera):
    return SingleBand(
        pixel_scale=camera.pixel_scale, seeing=camera.psf_fwhm, **dataclasses.asdict(camera.band)
    )


@pytest.mark.parametrize("name", BANDS)
def test_the_noise_of_a_band_is_lenstronomys(name):
    camera = lp.instrument(name)
    theirs = single_band(camera)
    assert camera.background_sigma == pytest.approx(theirs.background_noise, rel=1e-12)
    assert camera.flux(21.3) == pytest.approx(theirs.magnitude2cps(21.3), rel=1e-12)
    assert camera.total_exposure == pytest.approx(theirs.exposure_time, rel=1e-15)
    image = torch.linspace(0, 3, 12, dtype=torch.float64).view(3, 4)
    expected = torch.as_tensor(theirs.estimate_noise(image.numpy()))
    torch.testing.assert_close(camera.noise().sigma(image), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_preset_says_what_it_is_and_where_it_is_from(name):
    camera = lp.instrument(name)
    assert camera.version
    assert len(camera.source) > 20


@pytest.mark.parametrize(
    ("name", "theirs", "same"),
    [
        ("euclid_vis_published", Euclid.Euclid, "all"),
        ("hst_wfc3_f160w_published", lambda: HST.HST("WFC3_F160W", "GAUSSIAN"), "all"),
        ("roman_f106", lambda: Roman.Roman("F106"), "all but the sky"),
        ("roman_f129", lambda: Roman.Roman("F129"), "all but the sky"),
        ("roman_f158", lambda: Roman.Roman("F158"), "all but the sky"),
    ],
)
def test_a_preset_that_is_lenstronomys_still_is(name, theirs, same):
    camera, theirs = lp.instrument(name), theirs().kwargs_single_band()
    ours = dataclasses.asdict(camera.band) | {"pixel_scale": camera.pixel_scale}
    ours |= {"seeing": camera.psf_fwhm}
    if same != "all":
        # Theirs leaves out the thermal background and is of an older zero point.
        assert ours.pop("sky_brightness") == pytest.approx(theirs["sky_brightness"], abs=0.2)
    assert ours == {key: theirs[key] for key in ours}


@pytest.mark.parametrize("name", LSST_BANDS)
def test_the_psf_of_lsst_is_lenstronomys(name):
    theirs = LSST.LSST(name.removeprefix("lsst_")).kwargs_single_band()
    assert lp.instrument(name).psf_fwhm == pytest.approx(theirs["seeing"], abs=0.006)


@pytest.mark.parametrize("name", LSST_BANDS)
def test_one_visit_of_lsst_reaches_the_depth_of_its_project(name):
    """Zero point, sky and read noise together give the depth that the project states."""
    camera, band = lp.instrument(name), name.removeprefix("lsst_")
    visit = dataclasses.replace(camera, band=dataclasses.replace(camera.band, num_exposures=1))
    n_eff = 2.266 * (FWHM_EFF[band] / camera.pixel_scale) ** 2
    time, background2 = visit.total_exposure, n_eff * visit.background_sigma**2
    # S/N = F / sqrt(F / t + background^2) = 5, solved for F.
    flux = 12.5 / time * (1 + math.sqrt(1 + 4 * background2 * time**2 / 25))
    depth = camera.band.magnitude_zero_point - 2.5 * math.log10(flux)
    assert depth == pytest.approx(M5[band], abs=0.03)


def test_the_sky_of_roman_is_that_of_its_count_rates():
    camera = lp.instrument("roman_f158")
    rate = camera.flux(camera.band.sky_brightness) * camera.pixel_scale**2
    assert rate == pytest.approx(0.244 + 0.048, rel=5e-3)


def test_the_zero_point_of_euclid_vis_is_that_of_q1_in_electrons():
    band = lp.instrument("euclid_vis").band
    expected = 24.57 + 2.5 * math.log10(band.ccd_gain)
    assert band.magnitude_zero_point == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_image_can_be_taken_with_every_instrument(name):
    camera = lp.instrument(name)
    x, y = camera.grid(dtype=torch.float64)
    assert x.shape == (camera.n_pix, camera.n_pix)
    lens, source = lp.ThinLens([lp.SIE(theta_E=1.0)]), lp.Gaussian(amp=10.0, sigma=0.3)
    plain = lp.render(lens, source, x, y, psf=camera.psf())
    finer = lp.render(lens, source, x, y, psf=camera.psf(supersampling=2), supersampling=2)
    assert plain.sum().item() == pytest.approx(finer.sum().item(), rel=2e-2)
    noisy = camera.noise(1000.0).add(plain, torch.Generator().manual_seed(1))
    assert torch.isfinite(noisy).all()


def test_two_lookups_are_equal_and_independent():
    first, second = lp.instrument("euclid_vis"), lp.instrument("euclid_vis")
    assert first == second
    assert first is not second
    assert first.band is not second.band
    # Not even by force does one reach the other, or the next.
    object.__setattr__(first.band, "read_noise", 99.0)
    assert second == lp.instrument("euclid_vis") != first


def test_presets_do_not_change():
    camera = lp.instrument("euclid_vis")
    with pytest.raises(dataclasses.FrozenInstanceError):
        camera.pixel_scale = 0.2
    with pytest.raises(dataclasses.FrozenInstanceError):
        camera.band.read_noise = 0.0
    with pytest.raises(TypeError):
        INSTRUMENTS["euclid_vis"] = camera


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("euclid_viz", r"unknown instrument 'euclid_viz' \(did you mean 'euclid_vis'\?\)"),
        ("xyz", "unknown instrument 'xyz'; known: deeplense_model1, "),
    ],
)
def test_an_unknown_instrument_is_answered_with_the_nearest(name, message):
    with pytest.raises(ValueError, match=message):
        lp.instrument(name)


def test_a_flux_falls_by_a_hundred_in_five_magnitudes():
    camera = lp.instrument("euclid_vis")
    magnitude = torch.tensor([20.0, 25.0], dtype=torch.float64, requires_grad=True)
    bright, faint = camera.flux(magnitude)
    assert (bright / faint).item() == pytest.approx(100, rel=1e-12)
    assert camera.flux(camera.band.magnitude_zero_point) == pytest.approx(1)
    assert magnitude.grad is None
    bright.backward()
    assert magnitude.grad[0].item() == pytest.approx(-0.4 * math.log(10) * bright.item())


def test_an_instrument_without_a_band_needs_to_be_told():
    camera = lp.instrument("deeplense_model1")
    with pytest.raises(ValueError, match=r"^magnitude needs an instrument with a zero point"):
        camera.flux(20.0)
    with pytest.raises(ValueError, match=r"^exposure_time is needed"):
        camera.noise()
    assert camera.noise(500.0) == lp.Noise(0.01, 500.0)


def test_the_psf_is_a_moffat_where_it_has_wings():
    camera = dataclasses.replace(lp.instrument("lsst_r"), psf_beta=3.0)
    assert camera.psf() == lp.MoffatPSF(camera.psf_fwhm, 3.0, 0.2, camera.psf_truncation)
    assert camera.psf(2).pixel_scale == 0.1
    with pytest.raises(ValueError, match=r"^supersampling must be a whole number from 1 on"):
        camera.psf(0)


def test_coarser_pixels_keep_the_field_and_the_sky():
    camera = lp.instrument("hst_acs_f814w")
    low = camera.coarsen(4)
    assert (low.n_pix, low.pixel_scale, low.psf_fwhm) == (32, 0.2, 0.36)
    assert type(low) is Instrument
    for factor, message in [(0, "does not divide"), (3, "does not divide"), (128, "single pixel")]:
        with pytest.raises(ValueError, match=f"^factor {factor} .*{message}"):
            camera.coarsen(factor)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("read_noise", -1.0),
        ("read_noise", math.nan),
        ("exposure_time", 0.0),
        ("num_exposures", 0),
        ("ccd_gain", -2.0),
        ("magnitude_zero_point", math.inf),
        ("sky_brightness", math.nan),
    ],
)
def test_a_bad_band_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite and "):
        dataclasses.replace(lp.instrument("euclid_vis").band, **{name: bad})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("n_pix", 0),
        ("pixel_scale", 0.0),
        ("psf_fwhm", -0.1),
        ("psf_truncation", math.inf),
        ("psf_beta", 1.0),
        ("background_rms", -0.1),
    ],
)
def test_a_bad_instrument_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite and "):
        dataclasses.replace(lp.instrument("deeplense_model1"), **{name: bad})


def test_a_band_goes_with_lenstronomys_names():
    assert {f.name for f in dataclasses.fields(Band)} <= set(
        SingleBand.__init__.__code__.co_varnames
    )


def test_the_psf_of_sub_pixels_needs_a_whole_number_of_them():
    with pytest.raises(ValueError, match=r"^supersampling must be a whole number from 1 on"):
        lp.instrument("euclid_vis").psf(1.5)


@pytest.mark.parametrize("magnitude", [torch.tensor(20.0).half(), [20.0], np.longdouble(20)])
def test_a_magnitude_in_another_precision_is_refused_by_name(magnitude):
    with pytest.raises(ValueError, match=r"^magnitude must be a number, or a tensor or an array"):
        lp.instrument("euclid_vis").flux(magnitude)
