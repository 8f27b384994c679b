"""Instruments by name: lenstronomy's, with errors that name key and option."""

import dataclasses

import numpy as np
import pytest
from lenstronomy.SimulationAPI.observation_api import SingleBand
from lenstronomy.SimulationAPI.ObservationConfig import HST, Euclid

from lensphys.ground.errors import InputError
from lensphys.instruments import INSTRUMENTS
from simulate.instruments import coarser, instrument
from simulate.presets.published import PublishedPrior

BANDS = [name for name, camera in INSTRUMENTS.items() if camera.band]


@pytest.mark.parametrize("name", BANDS)
def test_background_is_that_of_lenstronomy(name):
    camera = instrument(name)
    assert camera.band is not None
    band = SingleBand(
        pixel_scale=camera.pixel_scale,
        seeing=camera.psf_fwhm,
        psf_type="GAUSSIAN",
        data_count_unit="e-",
        **dataclasses.asdict(camera.band),
    )
    assert camera.background_sigma == pytest.approx(band.background_noise, rel=1e-12)
    assert camera.flux(20.0) == pytest.approx(band.magnitude2cps(20.0), rel=1e-12)


@pytest.mark.parametrize("name", BANDS)
def test_background_is_read_noise_and_sky(name):
    camera = instrument(name)
    band = camera.band
    assert band is not None
    time = band.exposure_time * band.num_exposures
    sky = 10 ** (0.4 * (band.magnitude_zero_point - band.sky_brightness)) * camera.pixel_scale**2
    variance = band.num_exposures * band.read_noise**2 + time * sky
    assert camera.background_sigma == pytest.approx(np.sqrt(variance) / time, rel=1e-12)
    assert camera.total_exposure == time


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("euclid_vis_published", Euclid.Euclid(band="VIS", coadd_years=6)),
        ("hst_wfc3_f160w_published", HST.HST(band="WFC3_F160W", psf_type="GAUSSIAN")),
    ],
)
def test_instruments_are_lenstronomys(name, preset):
    camera = instrument(name)
    assert camera.band is not None
    ours = {"pixel_scale": camera.pixel_scale, "seeing": camera.psf_fwhm}
    ours |= dataclasses.asdict(camera.band)
    theirs = preset.kwargs_single_band()
    assert ours == {key: theirs[key] for key in ours}


def test_model_1_has_a_fixed_background():
    camera = instrument("deeplense_model1")
    assert camera.background_sigma == 0.01
    assert camera.total_exposure is None


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_coarser_pixels_keep_the_field_of_view(name):
    camera = instrument(name)
    low = camera.coarsen(2)
    assert low.n_pix * low.pixel_scale == pytest.approx(camera.n_pix * camera.pixel_scale)
    assert low.n_pix == camera.n_pix / 2
    # The PSF is as wide in pixels as before.
    assert low.psf_fwhm / low.pixel_scale == pytest.approx(camera.psf_fwhm / camera.pixel_scale)
    assert (low.band, low.psf_truncation) == (camera.band, camera.psf_truncation)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_coarser_pixels_collect_more_sky(name):
    """Sky noise goes as the width of a pixel; read noise stays."""
    camera = instrument(name)
    if camera.band:
        no_read_noise = dataclasses.replace(camera.band, read_noise=0.0)
        camera = dataclasses.replace(camera, band=no_read_noise)
    ratio = camera.coarsen(3 if camera.n_pix % 3 == 0 else 4).n_pix / camera.n_pix
    factor = round(1 / ratio)
    coarse = camera.coarsen(factor)
    assert coarse.background_sigma == pytest.approx(factor * camera.background_sigma)


@pytest.mark.parametrize("factor", [3, 64, 128])
def test_a_factor_that_leaves_no_image_is_refused(factor):
    with pytest.raises(InputError, match=f"--pairs {factor}"):
        coarser(instrument("euclid_vis_published"), factor)


def test_an_unknown_instrument_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'euclid_vis_published'"):
        instrument("euclid_vis_publised")


def test_a_magnitude_needs_a_zero_point(configure):
    with pytest.raises(InputError, match="zero point"):
        PublishedPrior(configure(1, "source.amplitude=null", "source.magnitude=20"))
