"""From the noise-free model to the published image, through each instrument."""

import dataclasses

import numpy as np
import pytest
from lenstronomy.SimulationAPI.observation_api import SingleBand
from lenstronomy.SimulationAPI.ObservationConfig import HST, Euclid
from scipy import stats

from lensphys.ground.errors import InputError
from simulate.imaging import make_images, make_renderers
from lensphys.instruments import INSTRUMENTS
from simulate.instruments import coarser, instrument
from simulate.observe import OBSERVATIONS, counts, doubled, noise_free
from simulate.presets.published import PublishedPrior

BANDS = [name for name, camera in INSTRUMENTS.items() if camera.band]
SIGMA, EXPOSURE = 0.01, 2000.0


def draws(level, n=20_000):
    """Counts of n pixels of one brightness, e-/s, at an exposure of 2000 s."""
    model = np.full((1, 1, n), level)
    return counts(model, SIGMA, np.array([EXPOSURE]), np.random.default_rng)[0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_are_whole_numbers_of_the_given_precision(dtype):
    model = np.linspace(0, 0.2, 600, dtype=dtype).reshape(2, 15, 20)
    images = counts(model, SIGMA, np.array([1000.0, 3000.0]), np.random.default_rng)
    assert images.dtype == dtype
    assert images.shape == model.shape
    assert (images >= 0).all()
    assert (images == np.round(images)).all()


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2])
def test_counts_have_the_shot_noise_twice(level):
    """Mean T m and variance 2 T m + T^2 sigma^2, where clipping at zero does not matter."""
    drawn = draws(level)
    variance = 2 * EXPOSURE * level + (EXPOSURE * SIGMA) ** 2
    error = np.sqrt(variance / drawn.size)
    assert drawn.mean() == pytest.approx(EXPOSURE * level, abs=4 * error)
    assert drawn.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / drawn.size))


def test_counts_of_dark_pixels_are_clipped_at_zero():
    """The mean of max(0, noise) is T sigma / sqrt(2 pi); half of the pixels have no counts."""
    drawn = draws(0.0)
    expected = EXPOSURE * SIGMA / np.sqrt(2 * np.pi)
    assert drawn.mean() == pytest.approx(expected, rel=0.04)
    assert (drawn == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_counts_follow_the_published_recipe_step_by_step():
    """The distribution of ``poisson((exposure * (model + shot + background)).clip(0))``."""
    rng, level, n = np.random.default_rng(7), 0.03, 20_000
    noisy = level + rng.normal(0, np.sqrt(level / EXPOSURE), n) + rng.normal(0, SIGMA, n)
    recipe = rng.poisson((EXPOSURE * noisy).clip(0))
    assert stats.ks_2samp(draws(level), recipe).pvalue > 1e-3


def test_every_image_has_its_own_random_numbers():
    models = np.full((2, 8, 8), 0.1)
    exposures = np.array([1000.0, 1000.0])
    both = counts(models, SIGMA, exposures, lambda i: np.random.default_rng(i + 4))
    second = counts(models[1:], SIGMA, exposures[1:], lambda i: np.random.default_rng(5))
    assert (both[1] == second[0]).all()
    assert (both[0] != both[1]).any()


@pytest.mark.parametrize(("observe", "factor"), [(noise_free, 1), (doubled, 2)])
def test_doubled_and_noise_free_images_have_no_noise(observe, factor):
    models = np.random.default_rng(0).random((3, 5, 5))
    assert (observe(models, 1.0, np.ones(3), np.random.default_rng) == factor * models).all()


@pytest.mark.parametrize(("model", "name"), [(1, "counts"), (2, "doubled"), (3, "doubled")])
def test_models_are_observed_as_they_were_published(configure, model, name):
    assert configure(model).observation == name
    assert name in OBSERVATIONS


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


@pytest.fixture(scope="module", params=[1, 2])
def pairs(request, configure):
    """Noise-free images of 9 scenes at both resolutions."""
    config = configure(request.param, n=9, pairs=2, observation="noise_free")
    return make_images(config, PublishedPrior(config), make_renderers(config), 0, 9)[1]


def test_a_pair_shows_one_scene_at_two_resolutions(pairs):
    high, low = pairs
    n = high.shape[-1] // 2
    assert n in (75, 32)
    assert low.shape == (9, 1, n, n)
    binned = high.reshape(9, 1, n, 2, n, 2).sum((3, 5))
    for a, b in zip(binned, low, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97


def test_a_pair_has_the_same_flux(pairs):
    high, low = (images.astype(np.float64).sum((1, 2, 3)) for images in pairs)
    assert high == pytest.approx(low, rel=1e-2)


def test_a_pair_has_independent_noise(configure):
    """In a corner, where there is background only; image by image, as exposures differ."""
    config = configure(1, n=30, pairs=2)
    _, (high, low) = make_images(config, PublishedPrior(config), make_renderers(config), 0, 30)
    n = low.shape[-1]
    binned = high.reshape(30, n, 2, n, 2).sum((2, 4))
    corners = [image.reshape(30, n, n)[:, :12, :12].reshape(30, -1) for image in (binned, low)]
    assert stats.combine_pvalues(stats.pearsonr(*corners, axis=1).pvalue).pvalue > 1e-3
    # Nor are the same random numbers used again, pixel by pixel.
    first = high[:, 0, :12, :12].reshape(30, -1)
    assert stats.combine_pvalues(stats.pearsonr(first, corners[1], axis=1).pvalue).pvalue > 1e-3


def test_without_pairs_the_image_is_the_same(configure):
    images = []
    for pairs in (None, 2):
        config = configure(1, n=6, pairs=pairs)
        images.append(
            make_images(config, PublishedPrior(config), make_renderers(config), 0, 6)[1][0]
        )
    assert np.array_equal(*images)
