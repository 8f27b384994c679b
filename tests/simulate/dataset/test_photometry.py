"""Units, exposure, PSF and noise of the images of a data set."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import lensphys as lp
from lensphys.ground.errors import InputError
from simulate.dataset.padding import find_shown
from simulate.dataset.photometry import Optics, Photometry
from simulate.instruments import instrument
from simulate.observe import counts, detector
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import DataSet, read

ATTRS = {"pixel_scale": 0.1, "psf_fwhm": 0.16, "background_sigma": 0.01, "unit": "e-/s"}


def data_set(tmp_path: Path, model: int, preset: str, *sets: str) -> DataSet:
    config = load_simulate_config(
        model, preset, sets=sets, n=3, workers=1, out=tmp_path / "data", device="cpu", pairs=2
    )
    return read(simulate(config)[0])


@pytest.mark.parametrize(
    ("model", "preset", "unit"),
    [
        (2, "physical", lambda exposure: 1.0),
        (2, "published", lambda exposure: 0.5),
        (1, "published", lambda exposure: 1 / exposure),
    ],
)
def test_images_become_electrons_a_second(tmp_path, model, preset, unit):  # type: ignore[no-untyped-def]
    data = data_set(tmp_path, model, preset)
    known = Photometry.of(data)
    exposure = data.params["exposure_time"]
    np.testing.assert_allclose(known.rate, [unit(value) for value in exposure])
    np.testing.assert_allclose(known.exposure, exposure)
    assert known.clipped == (data.attrs["unit"] == "counts")
    assert known.noisy == (data.attrs["unit"] != "2 e-/s")


def test_noise_free_images_carry_the_noise_of_their_instrument(tmp_path: Path) -> None:
    known = Photometry.of(data_set(tmp_path, 2, "published"))
    camera = instrument("euclid_vis_published")
    assert known.background_sigma == pytest.approx(camera.background_sigma)


@pytest.mark.parametrize(("model", "preset"), [(1, "published"), (2, "physical")])
def test_images_that_were_observed_without_noise_have_none(
    tmp_path: Path, model: int, preset: str
) -> None:
    assert not Photometry.of(data_set(tmp_path, model, preset, "observation=noise_free")).noisy


def test_the_coarser_images_have_optics_of_their_own(tmp_path: Path) -> None:
    data = data_set(tmp_path, 2, "physical")
    fine, coarse = Photometry.of(data), Photometry.of(data, "image_lr")
    assert coarse.pixel_scale == pytest.approx(2 * fine.pixel_scale)
    assert coarse.background_sigma > fine.background_sigma


def test_the_coarser_images_are_met_by_as_many_rays(tmp_path: Path) -> None:
    data = data_set(tmp_path, 2, "physical")
    assert (Photometry.of(data).rays, Photometry.of(data, "image_lr").rays) == (1, 2)


@pytest.mark.parametrize("unit", ["e-/s", "counts"])
def test_mean_and_noise_are_those_of_the_observation(unit: str) -> None:
    """Against many draws of the noise that data sets have."""
    exposure, observation = 1500.0, {"e-/s": detector, "counts": counts}[unit]
    known = Photometry.known(ATTRS | {"unit": unit}, np.full(1, exposure), "image", "data")
    model = np.array([[[0.0, 0.005, 0.05, 1.0]]])
    rng = np.random.default_rng(0)
    many = np.repeat(model, 40_000, axis=0)
    drawn = observation(many, 0.01, np.full(40_000, exposure), lambda _: rng)
    mean, sigma = known.mean_and_sigma(torch.from_numpy(model))
    rate = known.rate[0]
    np.testing.assert_allclose(drawn.mean(0) * rate, mean[0], atol=4e-4)
    np.testing.assert_allclose(drawn.std(0) * rate, sigma[0], rtol=0.02)


def test_photometry_of_a_data_set_is_that_of_images_like_its_own(tmp_path: Path) -> None:
    """Images that are new to a network are read like those that it was trained on."""
    config = data_set(tmp_path, 2, "physical").config
    for observation, noisy in (("noise_free", False), ("detector", True)):
        like = config | {"observation": observation, "supersampling": 3}
        known = Photometry.known(ATTRS, np.ones(1), "image", "data", like)
        assert (known.noisy, known.rays) == (noisy, 3)


def test_some_images_of_many() -> None:
    known = Photometry.known(ATTRS, np.array([10.0, 20.0, 30.0]), "image", "data")
    np.testing.assert_allclose(known.select(np.array([2, 0])).exposure, [30.0, 10.0])


def test_an_unknown_exposure_leaves_shot_noise_out() -> None:
    known = Photometry.known(ATTRS, np.array([math.nan, 5.0]), "image", "data")
    assert known.exposure.tolist() == [math.inf, 5.0]


@pytest.mark.parametrize("name", ["pixel_scale", "psf_fwhm", "background_sigma"])
@pytest.mark.parametrize("value", [None, math.nan, 0.0])
def test_what_is_missing_is_named(name: str, value: float | None) -> None:
    attrs = {key: v for key, v in ATTRS.items() if key != name}
    attrs |= {} if value is None else {name: value}
    with pytest.raises(InputError, match=f"data does not say its {name} .*--instrument"):
        Photometry.known(attrs, np.ones(1), "image", "data")


def test_units_that_nothing_is_known_of_are_refused() -> None:
    with pytest.raises(InputError, match="images in 'Jy', whose noise is not known"):
        Photometry.known(ATTRS | {"unit": "Jy"}, np.ones(1), "image", "data")
    with pytest.raises(InputError, match="counts without exposure_time"):
        Photometry.known(ATTRS | {"unit": "counts"}, np.array([math.nan]), "image", "data")


def test_photometry_is_a_value() -> None:
    known = Photometry.known(ATTRS, np.ones(1), "image", "data")
    with pytest.raises(dataclasses.FrozenInstanceError):
        known.rate = np.zeros(1)  # type: ignore[misc]


def test_a_moffat_camera_is_known_by_its_wings() -> None:
    known = Photometry.known(ATTRS | {"psf_beta": 3.0}, np.ones(1), "image", "data")
    assert known.psf == lp.MoffatPSF(0.16, 3.0, 0.1, 5.0)
    assert Photometry.known(ATTRS, np.ones(1), "image", "data").psf == lp.GaussianPSF(0.16, 0.1)


def test_an_image_may_have_a_psf_and_a_noise_map_of_its_own() -> None:
    known = Photometry.known(ATTRS | {"unit": "2 e-/s"}, np.ones(1), "image", "data")
    kernel, noise = np.zeros((3, 5)), np.arange(1.0, 13.0).reshape(3, 4)
    kernel[1, 2], kernel[1, 3] = 3.0, 1.0
    own = known.with_optics(Optics(kernel, noise))
    for rows in (slice(None), np.zeros(2, np.int64)):
        some = own.select(rows)
        model = torch.rand(len(some.rate), 3, 4)
        mean, sigma = some.mean_and_sigma(model)
        assert mean is model
        # e-/s: the unit is twice that.
        np.testing.assert_allclose(sigma, np.broadcast_to(noise / 2, model.shape))
    assert isinstance(own.psf, lp.PixelPSF)
    image = torch.zeros(1, 9, 9)
    image[0, 4, 4] = 1.0
    blurred = own.psf.convolve(image)
    assert blurred[0, 4, 4:6].tolist() == pytest.approx([0.75, 0.25], abs=1e-6)
    assert (own.pixel_scale, own.rays, own.noisy) == (known.pixel_scale, known.rays, known.noisy)


def test_the_noise_of_padding_is_infinite() -> None:
    padding = np.array([[0, 0, 0, 0], [1, 2, 0, 3]])
    known = Photometry.known(ATTRS, np.full(2, np.nan), "image", "here")
    padded = dataclasses.replace(known, padding=padding)
    sigma = padded.mean_and_sigma(torch.zeros(2, 20, 20))[1]
    assert torch.equal(sigma.isfinite(), torch.from_numpy(find_shown(padding, (20, 20))))
    assert torch.equal(sigma[0], known.mean_and_sigma(torch.zeros(2, 20, 20))[1][0])
    one = padded.select(np.array([1]))
    assert torch.equal(one.mean_and_sigma(torch.zeros(1, 20, 20))[1], sigma[1:])
