"""Images of drawn scenes, at one resolution and two, with the strength of their signal."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from simulate.imaging import attributes, make_images, make_renderers
from simulate.presets import make_prior
from simulate.presets.published import PublishedPrior


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


def test_a_pair_shows_one_scene_in_two_resolutions(configure):
    config = configure(2, preset="physical", pairs=2, observation="noise_free")
    _, (high, low) = make_images(config, make_prior(config), make_renderers(config), 0, 6)
    assert low.shape[-1] * 2 == high.shape[-1]
    blocks = high.reshape(6, 1, 32, 2, 32, 2).sum((3, 5))
    # The PSF of the coarser image is wider, but the light is the same.
    assert low.sum((1, 2, 3)) == pytest.approx(blocks.sum((1, 2, 3)), rel=2e-2)


def test_every_image_knows_how_strong_its_signal_is(physical_data):
    snr, label = physical_data.params["perturbation_snr"], physical_data.label
    assert not snr[label == 0].any()
    assert (snr[label != 0] > 0).all()
    assert (physical_data.params["peak_snr"] > 1).all()


def test_a_data_set_of_a_moffat_camera_says_so(configure):
    config = configure(2)
    gaussian = make_renderers(config)
    assert "psf_beta" not in attributes(config, make_prior(config), gaussian)
    moffat = dataclasses.replace(gaussian[0][0], psf_beta=3.0)
    attrs = attributes(config, make_prior(config), [(moffat, gaussian[0][1])])
    assert attrs["psf_beta"] == 3.0
