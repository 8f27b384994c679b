"""The truth behind noisy images is drawn again from their configuration."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from lensphys.ground.errors import InputError
from simulate.dataset.noise_free import render_noise_free
from simulate.dataset.photometry import Photometry
from simulate.observe import noise_sigma
from simulate.run import simulate
from simulate.shards import read

GALAXIES = Path(__file__).parents[2] / "data" / "galaxies.h5"


@pytest.fixture
def made(configure, tmp_path):
    def make(model, *sets, classes=None, **overrides):
        config = configure(model, *sets, out=tmp_path / "data", **overrides)
        return read(simulate(config)[0], classes)

    return make


def test_images_without_noise_are_their_own_truth(made):
    data = made(2, n=20, shard_size=7)
    rows = np.array([13, 2, 19, 7])
    truth = render_noise_free(data, rows)
    np.testing.assert_allclose(truth, data.image[rows], rtol=1e-5, atol=1e-6 * data.image.max())


@pytest.mark.parametrize("sets", [(), ("non_lens.fraction=0.3",), (f"galaxies.path={GALAXIES}",)])
def test_what_a_detector_adds_is_noise_of_the_known_size(made, sets):
    data = made(2, *sets, preset="physical", n=150, shard_size=64, pairs=4)
    rows = np.arange(3, 150, 7)  # of several blocks and shards
    truth = render_noise_free(data, rows)
    exposures = data.params["exposure_time"][rows]
    sigma = noise_sigma(truth[:, 0], data.attrs["background_sigma"], exposures)
    residual = (data.image[rows, 0] - truth[:, 0]) / sigma
    pixels = residual[0].size
    # Cold electrons are few, and not Gaussian: beyond the 6 sigma of chi-squared, some per cent.
    assert (residual**2).mean((1, 2)) == pytest.approx(1, abs=6 * np.sqrt(2 / pixels) + 0.03)
    assert residual.mean() == pytest.approx(0, abs=6 / np.sqrt(residual.size))


def test_counts_are_those_of_the_light_where_it_is_bright(made):
    data = made(1, n=12)
    truth = render_noise_free(data, np.arange(12))
    bright = truth > 0.2 * truth.max((1, 2, 3), keepdims=True)
    assert data.image[bright].sum() == pytest.approx(truth[bright].sum(), rel=5e-3)
    assert data.image.sum() > 1.1 * truth.sum(), "clipped noise is flux without light"


def test_a_part_of_a_data_set_knows_which_images_it_holds(made, tmp_path):
    whole = made(2, preset="physical", n=30, shard_size=11)
    part = read(tmp_path / "data", ["cdm", "no_sub"])
    kept = np.flatnonzero(np.isin(whole.label, [0, 1]))
    assert np.array_equal(part.numbers, kept)
    np.testing.assert_allclose(
        render_noise_free(part, np.array([4, 11])),
        render_noise_free(whole, kept[[4, 11]]),
        rtol=1e-5,
        atol=1e-6 * whole.image.max(),
    )


def test_a_data_set_that_would_be_drawn_otherwise_is_refused(made, tmp_path):
    data, rows = made(2, n=6), np.arange(6)
    shard = tmp_path / "data" / "shard-00000.h5"
    with h5py.File(shard, "r+") as file:
        file["params"]["source_center_x"][2] += 0.01
    with pytest.raises(InputError, match="labels are not those"):
        render_noise_free(read(tmp_path / "data"), rows)
    assert render_noise_free(read(tmp_path / "data"), rows[3:]).shape == (3, 1, 64, 64)
    with pytest.raises(InputError, match="not made by a preset"):
        render_noise_free(dataclasses.replace(data, config={"preset": "imported"}), rows)
    with pytest.raises(InputError, match="not known which images"):
        render_noise_free(dataclasses.replace(data, numbers=None), rows)


def test_light_of_an_earlier_version_is_not_drawn_again(made):
    data = made(2, "lens_light.enabled=true", preset="physical", n=4)
    assert data.config["light_version"] == 2
    np.testing.assert_allclose(
        render_noise_free(data, np.arange(4)).mean(), data.image.mean(), rtol=0.05
    )
    old = {k: v for k, v in data.config.items() if k != "light_version"}
    with pytest.raises(InputError, match=r"was not integrated over the pixels.*make the data set"):
        render_noise_free(dataclasses.replace(data, config=old), np.arange(4))


def test_data_without_such_light_have_no_version_of_it(made):
    assert "light_version" not in made(2, n=3).config


@pytest.mark.parametrize("rays", [2, 3])
def test_every_reader_knows_the_number_of_rays(made, rays):
    data = made(
        3, f"supersampling={rays}", "observation=noise_free", preset="physical", n=6, pairs=2
    )
    truth = render_noise_free(data, np.arange(6))
    np.testing.assert_allclose(truth, data.image, rtol=1e-5, atol=1e-6 * data.image.max())
    assert Photometry.of(data).rays == rays
    assert Photometry.of(data, "image_lr").rays == 2 * rays
